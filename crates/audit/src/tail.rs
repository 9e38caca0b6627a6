//! The end of the log, and what is added to it.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use crate::backward::Backward;
use crate::files::{LogFiles, open_to_read};

const BLOCK: usize = 64 << 10;

/// The last lines of a log, oldest first, and from where it goes on.
///
/// # Errors
/// When a file cannot be read.
pub fn tail(files: &LogFiles, count: usize) -> io::Result<(Vec<String>, Follow)> {
    let current = open_to_read(files.current())?;
    let (mut lines, end) = Backward::new(current.try_clone()?)?;
    let mut older = files.rotated()?;
    let mut last = Vec::new();
    while last.len() < count {
        match lines.next_line()? {
            Some(line) => last.push(String::from_utf8_lossy(&line.bytes).into_owned()),
            None => match older.pop() {
                Some((_, path)) => lines = Backward::new(open_to_read(&path)?)?.0,
                None => break,
            },
        }
    }
    last.reverse();
    let files = files.clone();
    Ok((last, Follow { files, file: current, at: end, held: Vec::new() }))
}

/// Goes on reading where the log ended.
pub struct Follow {
    files: LogFiles,
    file: File,
    at: u64,
    held: Vec<u8>,
}

impl Follow {
    /// The lines that were added since; none when there are none. Goes over to the next file when
    /// one was begun.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn next_lines(&mut self) -> io::Result<Vec<String>> {
        // Asked first: a file that is replaced gets no more lines.
        let there = open_to_read(self.files.current()).ok();
        let mut lines = self.rest()?;
        let Some(there) = there else { return Ok(lines) };
        let (ours, new) = (self.file.metadata()?, there.metadata()?);
        if (ours.dev(), ours.ino()) != (new.dev(), new.ino()) {
            (self.file, self.at, self.held) = (there, 0, Vec::new());
            lines.extend(self.rest()?);
        }
        Ok(lines)
    }

    fn rest(&mut self) -> io::Result<Vec<String>> {
        let (mut lines, mut block) = (Vec::new(), vec![0; BLOCK]);
        loop {
            let count = self.file.read_at(&mut block, self.at)?;
            if count == 0 {
                return Ok(lines);
            }
            self.at += count as u64;
            self.held.extend(block.iter().take(count));
            while let Some(newline) = self.held.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.held.drain(..=newline).take(newline).collect();
                lines.push(String::from_utf8_lossy(&line).into_owned());
            }
        }
    }
}
