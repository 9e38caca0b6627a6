//! See `store::fuzz::record`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    store::fuzz::record(input);
});
