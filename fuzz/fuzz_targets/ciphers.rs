//! See `crypto::fuzz::ciphers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    crypto::fuzz::ciphers(input);
});
