//! See `crypto::fuzz::root_key`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    crypto::fuzz::root_key(input);
});
