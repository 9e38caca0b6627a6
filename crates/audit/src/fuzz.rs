//! What `fuzz/` calls. The function answers whether it accepted its input.

use crate::line::{self, Line};

/// A line is read only when it is what would be written, in ASCII and without a control character,
/// and its hash depends on every byte.
pub fn audit_line(bytes: &[u8]) -> bool {
    let Ok(line) = Line::parse(bytes) else { return false };
    assert!(bytes.iter().all(|byte| (0x20..0x7f).contains(byte)), "more than text in a line");
    let mut again = Vec::new();
    let (members, kind) = (line::members(&line.body), line.body.kind());
    line::write(&mut again, line.seq, line.time, kind, &members, &line.prev);
    assert!(again == bytes, "a line has a second spelling");
    again.push(b' ');
    assert!(Line::parse(&again).is_err() && line::hash(&again) != line::hash(bytes));
    true
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::replay::replay;
    use super::*;
    use crate::tests::lines_of_every_kind;

    #[test]
    fn every_seed_of_a_line_holds() {
        let lines = lines_of_every_kind();
        let seeds: Vec<_> = lines.iter().map(|(name, line)| (*name, line.clone())).collect();
        replay("audit_line", audit_line, &seeds);
        for (name, line) in lines {
            let spaced = String::from_utf8(line).unwrap().replacen(':', ": ", 1);
            assert!(!audit_line(spaced.as_bytes()), "{name} with a space is accepted");
        }
    }
}
