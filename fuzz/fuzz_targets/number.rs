//! See `domain::fuzz::number`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    domain::fuzz::number(input);
});
