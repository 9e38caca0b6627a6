//! See `surfaces::fuzz::surface_body`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    surfaces::fuzz::surface_body(input);
});
