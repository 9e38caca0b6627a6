//! See `domain::fuzz::name_pattern`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    domain::fuzz::name_pattern(input);
});
