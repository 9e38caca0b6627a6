//! See `audit::fuzz::audit_line`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    audit::fuzz::audit_line(input);
});
