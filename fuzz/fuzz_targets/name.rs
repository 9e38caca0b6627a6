//! See `domain::fuzz::name`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    domain::fuzz::name(input);
});
