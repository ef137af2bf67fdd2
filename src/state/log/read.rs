//! Reads a log from its files: what there is, then what is added. Rotation in
//! between loses nothing: the old file is read to its end first.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Assembler, FILE, Line, rotated};

/// Reads on where it was.
#[derive(Debug)]
pub struct Reader {
    directory: PathBuf,
    /// The file that is read, which may have been rotated away meanwhile.
    file: Option<File>,
    /// An entry whose end is not written yet.
    entry: Vec<u8>,
    assembler: Assembler,
}

impl Reader {
    /// Reads from the oldest line that is kept.
    pub fn new(directory: &Path) -> io::Result<Self> {
        let numbers = (0..).take_while(|number| directory.join(rotated(*number)).exists());
        let oldest = numbers.last();
        let file = oldest.map(|number| open(&directory.join(rotated(number)))).transpose()?;
        Ok(Self {
            directory: directory.to_owned(),
            file: file.flatten(),
            entry: Vec::new(),
            assembler: Assembler::default(),
        })
    }

    /// The lines that were added since the last call.
    pub fn added(&mut self) -> io::Result<Vec<Line>> {
        let mut lines = Vec::new();
        loop {
            self.read_to_end(&mut lines)?;
            match self.next_file()? {
                Some(next) => self.file = Some(next),
                None => return Ok(lines),
            }
        }
    }

    /// What is left of lines that never ended: for when nothing will be added.
    pub fn rest(&mut self) -> Vec<Line> {
        self.assembler.rest()
    }

    fn read_to_end(&mut self, lines: &mut Vec<Line>) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut bytes = std::mem::take(&mut self.entry);
        file.read_to_end(&mut bytes)?;
        let mut rest = bytes.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            lines.extend(self.assembler.take(&rest[..end]));
            rest = &rest[end + 1..];
        }
        self.entry = rest.to_vec();
        Ok(())
    }

    /// The file after the one that is read; `None`: it is the current one.
    fn next_file(&self) -> io::Result<Option<File>> {
        let Some(file) = &self.file else { return open(&self.directory.join(FILE)) };
        let own = file.metadata()?.ino();
        let place = |number: u32| {
            fs::metadata(self.directory.join(rotated(number))).map(|metadata| metadata.ino())
        };
        let mut number = 0;
        // Where it has been rotated out of existence, what is oldest comes next.
        while let Ok(inode) = place(number) {
            if inode == own {
                break;
            }
            number += 1;
        }
        match number.checked_sub(1) {
            None => Ok(None),
            Some(newer) => open(&self.directory.join(rotated(newer))),
        }
    }
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The last `count` lines of a log; fewer where there are fewer.
pub fn last(directory: &Path, count: usize) -> io::Result<Vec<Line>> {
    let mut reader = Reader::new(directory)?;
    let mut lines = reader.added()?;
    lines.extend(reader.rest());
    Ok(lines.split_off(lines.len().saturating_sub(count)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn append(directory: &Path, text: &str) {
        let path = directory.join(FILE);
        let mut file = File::options().create(true).append(true).open(path).expect("opened");
        write!(file, "2026-11-23T19:00:00Z stdout F {text}").expect("written");
    }

    fn texts(lines: Vec<Line>) -> Vec<String> {
        lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn reads_on_across_rotation_and_half_written_entries() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut reader = Reader::new(directory.path()).expect("no log yet");
        assert_eq!(reader.added().expect("read"), []);
        append(directory.path(), "one\n");
        append(directory.path(), "tw");
        assert_eq!(texts(reader.added().expect("read")), ["one"]);
        let current = directory.path().join(FILE);
        let mut file = File::options().append(true).open(&current).expect("opened");
        file.write_all(b"o\n").expect("written");
        fs::rename(&current, directory.path().join(rotated(1))).expect("rotated");
        append(directory.path(), "three\n");
        assert_eq!(texts(reader.added().expect("read")), ["two", "three"]);
        assert_eq!(reader.added().expect("read"), []);
    }

    #[test]
    fn the_last_lines_come_from_all_files() {
        let directory = tempfile::tempdir().expect("a directory");
        append(directory.path(), "one\n");
        let current = directory.path().join(FILE);
        fs::rename(&current, directory.path().join(rotated(1))).expect("rotated");
        append(directory.path(), "two\n");
        assert_eq!(texts(last(directory.path(), 5).expect("read")), ["one", "two"]);
        assert_eq!(texts(last(directory.path(), 1).expect("read")), ["two"]);
    }
}
