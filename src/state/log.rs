//! Reads logs in CRI format across rotated files. They are written by
//! [`crate::shim`]; this side never changes them.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;

/// How many rotated files there may be beside the current one.
const OLDEST: u32 = 2;

/// Name of the file that is written to.
pub const FILE: &str = "current.log";

/// Name of the file that was rotated away `number` times; 0: the current one.
pub fn rotated(number: u32) -> String {
    if number == 0 { FILE.to_owned() } else { format!("{FILE}.{number}") }
}

/// Which of a process's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output, and all of a terminal or a console.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// 0 or 1.
    pub fn index(self) -> usize {
        match self {
            Self::Stdout => 0,
            Self::Stderr => 1,
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        })
    }
}

/// One line, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it was written.
    pub time: Timestamp,
    /// Where to.
    pub stream: Stream,
    /// Whether its line ends here; else the stream's next entry goes on.
    pub whole: bool,
    /// The bytes, without the newline; whatever the process wrote.
    pub bytes: Vec<u8>,
}

impl Entry {
    /// `None` where it is no CRI line (the last one, cut off by a crash).
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.splitn(4, |byte| *byte == b' ');
        let time = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        let stream = match fields.next()? {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return None,
        };
        let whole = match fields.next()? {
            b"F" => true,
            b"P" => false,
            _ => return None,
        };
        Some(Self { time, stream, whole, bytes: fields.next()?.to_vec() })
    }
}

/// Which entries are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Only so many lines from the end.
    pub tail: Option<usize>,
    /// Only what was written then or later.
    pub since: Option<Timestamp>,
}

/// Reads a directory of log files from the oldest entry on, and goes on with
/// what is written later.
#[derive(Debug)]
pub struct Reader {
    directory: PathBuf,
    /// Files yet to be read, the oldest last.
    waiting: Vec<File>,
    current: Option<Open>,
    watch: Option<AsyncFd<OwnedFd>>,
}

#[derive(Debug)]
struct Open {
    file: BufReader<File>,
    inode: u64,
    /// What there is of a line that is not finished.
    begun: Vec<u8>,
}

impl Open {
    fn new(file: File) -> io::Result<Self> {
        let inode = file.metadata()?.ino();
        Ok(Self { file: BufReader::new(file), inode, begun: Vec::new() })
    }

    fn next(&mut self) -> io::Result<Option<Entry>> {
        loop {
            self.file.read_until(b'\n', &mut self.begun)?;
            if self.begun.pop_if(|last| *last == b'\n').is_none() {
                return Ok(None);
            }
            let line = std::mem::take(&mut self.begun);
            if let Some(entry) = Entry::parse(&line) {
                return Ok(Some(entry));
            }
        }
    }
}

impl Reader {
    /// Starts before the oldest entry. A directory that is not there has none.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let mut waiting = Vec::new();
        for number in 0..=OLDEST {
            match File::open(directory.join(rotated(number))) {
                Ok(file) => waiting.push(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { directory: directory.to_owned(), waiting, current: None, watch: None })
    }

    /// The next entry that is there already.
    #[expect(clippy::should_implement_trait, reason = "it may fail, and go on after `None`")]
    pub fn next(&mut self) -> io::Result<Option<Entry>> {
        loop {
            if let Some(open) = &mut self.current
                && let Some(entry) = open.next()?
            {
                return Ok(Some(entry));
            }
            match self.waiting.pop() {
                Some(file) => self.current = Some(Open::new(file)?),
                None if self.was_rotated()? => {}
                None => return Ok(None),
            }
        }
    }

    /// Whether the file being read was set aside; then newer ones wait. The
    /// newest file is opened first, so that none can slip between two names.
    fn was_rotated(&mut self) -> io::Result<bool> {
        let read = self.current.as_ref().map(|open| open.inode);
        let mut newer = Vec::new();
        for number in 0..=OLDEST {
            let file = match File::open(self.directory.join(rotated(number))) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if Some(file.metadata()?.ino()) == read {
                break;
            }
            newer.push(file);
        }
        self.waiting = newer;
        Ok(!self.waiting.is_empty())
    }

    /// Everything that is there and wanted, in order.
    pub fn read(&mut self, wanted: &Wanted) -> io::Result<Vec<Entry>> {
        let mut kept = VecDeque::new();
        let mut lines = 0;
        while let Some(entry) = self.next()? {
            if wanted.since.is_some_and(|since| entry.time < since) {
                continue;
            }
            lines += usize::from(entry.whole);
            kept.push_back(entry);
            while wanted.tail.is_some_and(|tail| lines > tail) {
                let dropped = kept.pop_front();
                lines -= usize::from(dropped.is_some_and(|entry| entry.whole));
            }
        }
        if wanted.tail == Some(0) {
            kept.clear();
        }
        Ok(kept.into())
    }

    /// Waits for the next entry. Dropping the future loses nothing.
    pub async fn follow(&mut self) -> io::Result<Entry> {
        loop {
            // Watched before it is read: what comes in between is an event.
            if self.watch.is_none() {
                self.watch = Some(watch(&self.directory)?);
            }
            if let Some(entry) = self.next()? {
                return Ok(entry);
            }
            let Some(watch) = &self.watch else { continue };
            let mut ready = watch.readable().await?;
            // What it was is not asked: the files themselves are looked at.
            let mut events = [0; 4096];
            while rustix::io::read(watch.get_ref(), &mut events).is_ok() {}
            ready.clear_ready();
        }
    }
}

#[expect(unsafe_code, reason = "tokio takes a descriptor on trust")]
fn watch(directory: &Path) -> io::Result<AsyncFd<OwnedFd>> {
    std::fs::create_dir_all(directory)?;
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let flags = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO;
    inotify::add_watch(&watch, directory, flags)?;
    // SAFETY: the descriptor is owned by what is returned, and stays the same.
    Ok(unsafe { AsyncFd::register(watch) }?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::path::Path;

    use super::{Entry, FILE, Reader, Wanted, rotated};

    fn line(second: u32, tag: &str, text: &str) -> String {
        format!("2026-11-23T19:00:{second:02}.000000001Z stdout {tag} {text}\n")
    }

    fn write(directory: &Path, number: u32, lines: &[String]) {
        fs::write(directory.join(rotated(number)), lines.concat()).expect("write");
    }

    fn texts(entries: &[Entry]) -> Vec<String> {
        entries.iter().map(|entry| String::from_utf8_lossy(&entry.bytes).into_owned()).collect()
    }

    #[test]
    fn entries_come_in_order_across_files() {
        let home = tempfile::tempdir().expect("directory");
        write(home.path(), 2, &[line(1, "F", "one")]);
        write(home.path(), 1, &[line(2, "P", "tw"), line(2, "F", "o")]);
        write(home.path(), 0, &[line(3, "F", ""), line(4, "F", "four  x "), "rubbish\n".into()]);
        let read = |wanted: &Wanted| {
            texts(&Reader::open(home.path()).expect("open").read(wanted).expect("read"))
        };
        assert_eq!(read(&Wanted::default()), ["one", "tw", "o", "", "four  x "]);
        assert_eq!(read(&Wanted { tail: Some(3), since: None }), ["tw", "o", "", "four  x "]);
        assert!(read(&Wanted { tail: Some(0), since: None }).is_empty());
        let since = "2026-11-23T19:00:03Z".parse().ok();
        assert_eq!(read(&Wanted { tail: None, since }), ["", "four  x "]);
    }

    #[test]
    fn following_sees_every_line_through_a_rotation() {
        let home = tempfile::tempdir().expect("directory");
        write(home.path(), 0, &[line(1, "F", "a")]);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(async {
            let mut reader = Reader::open(home.path()).expect("open");
            assert_eq!(reader.follow().await.expect("entry").bytes, b"a");
            let current = home.path().join(FILE);
            let mut file = fs::File::options().append(true).open(&current).expect("file");
            let later = line(2, "F", "b");
            let (first, rest) = later.split_at(20);
            file.write_all(first.as_bytes()).expect("write");
            assert_eq!(reader.next().expect("read"), None, "half a line is none");
            file.write_all(rest.as_bytes()).expect("write");
            fs::rename(&current, home.path().join(rotated(1))).expect("rotate");
            write(home.path(), 0, &[line(3, "F", "c")]);
            assert_eq!(reader.follow().await.expect("entry").bytes, b"b");
            assert_eq!(reader.follow().await.expect("entry").bytes, b"c");
        });
    }
}
