//! See `domain::fuzz::payload`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    domain::fuzz::payload(input);
});
