//! See `crypto::fuzz::envelope`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    crypto::fuzz::envelope(input);
});
