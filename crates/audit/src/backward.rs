//! The lines of a file, last one first: what is wanted is near the end of a large file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::line::MAX_LINE_BYTES;

const BLOCK: u64 = 64 << 10;

/// Whole lines, last one first.
pub(crate) struct Backward {
    file: File,
    /// Where the bytes in hand begin in the file; they end behind a newline.
    start: u64,
    held: Vec<u8>,
}

/// A line without its newline, and where it begins.
pub(crate) struct Placed {
    pub(crate) at: u64,
    pub(crate) bytes: Vec<u8>,
}

impl Backward {
    /// Begins behind the last newline. Also says where that is, which is the end of the file unless
    /// its last line has no end.
    pub(crate) fn new(file: File) -> io::Result<(Self, u64)> {
        let mut end = file.metadata()?.len();
        while end > 0 {
            let begin = end.saturating_sub(BLOCK);
            let block = read(&file, begin, end)?;
            if let Some(newline) = block.iter().rposition(|&byte| byte == b'\n') {
                end = begin + newline as u64 + 1;
                break;
            }
            end = begin;
        }
        Ok((Self { file, start: end, held: Vec::new() }, end))
    }

    /// The next line towards the beginning. One that is longer than any line of ours comes in
    /// pieces.
    pub(crate) fn next_line(&mut self) -> io::Result<Option<Placed>> {
        loop {
            let content = self.held.len().saturating_sub(1);
            let before = self.held.iter().take(content).rposition(|&byte| byte == b'\n');
            let begin = match before {
                Some(newline) => newline + 1,
                None if self.start == 0 || self.held.len() > 2 * MAX_LINE_BYTES => 0,
                None => {
                    self.extend()?;
                    continue;
                }
            };
            if self.held.is_empty() {
                return Ok(None);
            }
            let mut bytes = self.held.split_off(begin);
            if bytes.last() == Some(&b'\n') {
                bytes.pop();
            }
            return Ok(Some(Placed { at: self.start + begin as u64, bytes }));
        }
    }

    fn extend(&mut self) -> io::Result<()> {
        let begin = self.start.saturating_sub(BLOCK);
        let mut block = read(&self.file, begin, self.start)?;
        block.append(&mut self.held);
        (self.held, self.start) = (block, begin);
        Ok(())
    }
}

fn read(file: &File, begin: u64, end: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(end - begin).unwrap_or_default()];
    file.read_exact_at(&mut bytes, begin)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn lines(content: &[u8]) -> (Vec<(u64, Vec<u8>)>, u64) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        let (mut backward, end) = Backward::new(file).unwrap();
        let mut lines = Vec::new();
        while let Some(Placed { at, bytes }) = backward.next_line().unwrap() {
            lines.push((at, bytes));
        }
        (lines, end)
    }

    #[test]
    fn lines_come_last_one_first_with_their_places() {
        assert_eq!(lines(b""), (vec![], 0));
        assert_eq!(lines(b"torn"), (vec![], 0));
        assert_eq!(lines(b"\n"), (vec![(0, b"".to_vec())], 1));
        let three = vec![(4, b"".to_vec()), (2, b"b".to_vec()), (0, b"a".to_vec())];
        assert_eq!(lines(b"a\nb\n\ntorn"), (three, 5));
    }

    #[test]
    fn lines_across_blocks_are_whole() {
        let long = |byte| [vec![byte; 100_000], b"\n".to_vec()].concat();
        let content = [long(b'a'), long(b'b'), vec![b'c'; 100_000]].concat();
        let (found, end) = lines(&content);
        let expected = vec![(100_001, vec![b'b'; 100_000]), (0, vec![b'a'; 100_000])];
        assert!(found == expected && end == 200_002);
    }

    #[test]
    fn a_line_without_end_does_not_fill_the_memory() {
        let content = [vec![b'a'; 3 << 20], b"\n".to_vec()].concat();
        let (found, _) = lines(&content);
        assert!(found.len() > 5 && found.iter().all(|(_, bytes)| bytes.len() <= 512 << 10));
        assert_eq!(found.iter().map(|(_, bytes)| bytes.len()).sum::<usize>(), 3 << 20);
    }
}
