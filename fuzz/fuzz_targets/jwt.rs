//! See `crypto::fuzz::jwt`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    crypto::fuzz::jwt(input);
});
