//! See `store::fuzz::backup`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    store::fuzz::backup(input);
    store::fuzz::backup_of_frames(input);
});
