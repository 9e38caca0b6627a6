//! See `crypto::fuzz::keyring_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    crypto::fuzz::keyring_file(input);
});
