//! See `api::fuzz::body`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    api::fuzz::body(input);
});
