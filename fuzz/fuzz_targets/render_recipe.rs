//! See `surfaces::fuzz::render_recipe`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    surfaces::fuzz::render_recipe(input);
});
