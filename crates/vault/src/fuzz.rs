//! What `fuzz/` calls.

/// Whether a list's `continue` is read; then it is the one that would be written.
pub fn list_cursor(text: &[u8]) -> bool {
    crate::lists::fuzz_cursor(text)
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use domain::Encoder;

    use super::replay::replay;
    use super::*;

    #[test]
    fn every_seed_of_a_list_cursor_holds() {
        let mut cursor = Encoder::default();
        cursor.u8(1).raw(b"the list").u32(1).u64(7).bytes(b"sort").bytes(b"\x03default\0ml\0hf");
        let text = URL_SAFE_NO_PAD.encode(cursor.finish());
        replay("list_cursor", list_cursor, &[("sorted", text.clone().into_bytes())]);
        assert!(!list_cursor(&text.as_bytes()[1..]));
    }
}
