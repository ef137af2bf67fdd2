//! Writes CRI-format log lines, rotated. The reader is [`crate::state::log`].

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::state::log::{FILE, Stream, rotated};

/// A file is rotated when it reaches this size.
const LIMIT: u64 = 10 * 1024 * 1024;

/// Files kept, the current one included.
const FILES: u32 = 3;

/// A longer line is written in parts (`P`), the last one whole (`F`).
const LONGEST_LINE: usize = 16 * 1024;

/// One process's log.
#[derive(Debug)]
pub(super) struct LogFile {
    directory: PathBuf,
    file: File,
    size: u64,
    limit: u64,
    pending: [Vec<u8>; 2],
}

impl LogFile {
    /// Opens the current file for appending.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let file = append(&directory.join(FILE))?;
        let size = file.metadata()?.len();
        Ok(Self {
            directory: directory.to_owned(),
            file,
            size,
            limit: LIMIT,
            pending: [Vec::new(), Vec::new()],
        })
    }

    /// Takes what a stream brought; whole lines are written at once.
    pub(super) fn take(&mut self, stream: Stream, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let held = self.pending[stream.index()].len();
            let room = LONGEST_LINE - held;
            let end = bytes.iter().take(room).position(|byte| *byte == b'\n');
            let (now, whole) = match end {
                Some(end) => (end, true),
                None if bytes.len() >= room => (room, false),
                None => {
                    self.pending[stream.index()].extend_from_slice(bytes);
                    return Ok(());
                }
            };
            let mut line = std::mem::take(&mut self.pending[stream.index()]);
            line.extend_from_slice(&bytes[..now]);
            self.write(stream, whole, &line)?;
            line.clear();
            self.pending[stream.index()] = line;
            bytes = &bytes[now + usize::from(whole)..];
        }
        Ok(())
    }

    /// Writes what had no newline when its stream ended.
    pub(super) fn finish(&mut self, stream: Stream) -> io::Result<()> {
        let line = std::mem::take(&mut self.pending[stream.index()]);
        if line.is_empty() { Ok(()) } else { self.write(stream, false, &line) }
    }

    fn write(&mut self, stream: Stream, whole: bool, line: &[u8]) -> io::Result<()> {
        if self.size >= self.limit {
            self.rotate()?;
        }
        let mut entry = Vec::with_capacity(line.len() + 48);
        write_timestamp(&mut entry, SystemTime::now());
        let tag = if whole { 'F' } else { 'P' };
        write!(entry, " {stream} {tag} ")?;
        entry.extend_from_slice(line);
        entry.push(b'\n');
        if let Err(error) = self.file.write_all(&entry) {
            // The disk took half a line: the next would be glued to it, and both be lost.
            self.file.set_len(self.size)?;
            return Err(error);
        }
        self.size += entry.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..FILES).rev() {
            let from = self.directory.join(rotated(number - 1));
            match fs::rename(&from, self.directory.join(rotated(number))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.file = append(&self.directory.join(FILE))?;
        self.size = 0;
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// `2026-11-23T19:00:00.123456789Z`, by hand: a calendar's tables would cost
/// every shim their memory.
fn write_timestamp(to: &mut Vec<u8>, time: SystemTime) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Days are counted from 0000-03-01, so that a leap day ends its year.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    let (second, nanos) = (second % 60, since.subsec_nanos());
    // Writing to memory cannot fail.
    drop(write!(to, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z"));
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{FILE, LONGEST_LINE, LogFile, Stream, rotated, write_timestamp};

    fn lines(path: &std::path::Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).expect("log file");
        text.lines().map(|line| line[31..].to_owned()).collect()
    }

    #[test]
    fn timestamps_are_utc() {
        for (since, text) in [
            (0, "1970-01-01T00:00:00.000000007Z"),
            (951_782_400, "2000-02-29T00:00:00.000000007Z"),
            (1_795_460_399, "2026-11-23T18:59:59.000000007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000007Z"),
        ] {
            let mut line = Vec::new();
            write_timestamp(&mut line, UNIX_EPOCH + Duration::new(since, 7));
            assert_eq!(String::from_utf8_lossy(&line), text);
        }
    }

    #[test]
    fn lines_are_cut_where_they_end_or_grow_too_long() {
        let home = tempfile::tempdir().expect("directory");
        let mut log = LogFile::open(home.path()).expect("log");
        log.take(Stream::Stdout, b"one\ntw").expect("write");
        log.take(Stream::Stderr, b"err\n").expect("write");
        log.take(Stream::Stdout, b"o\n\n").expect("write");
        let oversized = vec![b'x'; LONGEST_LINE + 3];
        log.take(Stream::Stdout, &oversized).expect("write");
        log.finish(Stream::Stdout).expect("write");
        let found = lines(&home.path().join(FILE));
        assert_eq!(&found[..4], ["stdout F one", "stderr F err", "stdout F two", "stdout F "]);
        assert_eq!(found[4].len(), "stdout P ".len() + LONGEST_LINE);
        assert_eq!(found[5], "stdout P xxx");
    }

    #[test]
    fn of_a_line_that_the_disk_took_half_nothing_stays() {
        use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
        use std::io::{Seek, SeekFrom, Write};

        let home = tempfile::tempdir().expect("directory");
        let mut log = LogFile::open(home.path()).expect("log");
        // A file of one page that cannot have another: what lies across is cut off.
        let memory = memfd_create("log", MemfdFlags::ALLOW_SEALING).expect("a file");
        log.file = memory.into();
        log.size = 4090;
        log.file.write_all(&[b'x'; 4096]).expect("written");
        log.file.seek(SeekFrom::Start(log.size)).expect("sought");
        fcntl_add_seals(&log.file, SealFlags::GROW).expect("sealed");
        log.take(Stream::Stdout, b"wrote 1\n").expect_err("there is no room");
        assert_eq!(log.file.metadata().expect("file").len(), 4090);
    }

    #[test]
    fn three_files_are_kept() {
        let home = tempfile::tempdir().expect("directory");
        let mut log = LogFile::open(home.path()).expect("log");
        log.limit = 1;
        for word in ["a\n", "b\n", "c\n", "d\n"] {
            log.take(Stream::Stdout, word.as_bytes()).expect("write");
        }
        assert_eq!(lines(&home.path().join(FILE)), ["stdout F d"]);
        assert_eq!(lines(&home.path().join(rotated(1))), ["stdout F c"]);
        assert_eq!(lines(&home.path().join(rotated(2))), ["stdout F b"]);
        assert!(!home.path().join(rotated(3)).exists());
    }
}
