//! Follows a file that a program appends to (a VM's console) and hands on what
//! is new. Where it stands is kept on disk, and what was handed on is taken
//! out of the file, so that the file stays small and a shim that takes over
//! loses nothing.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use rustix::fs::FallocateFlags;

/// Name of the file that says how far it was read, beside `shim.json`.
const POSITION_FILE: &str = "follow.position";

/// So much of what was read stays readable in the file itself: whoever looks
/// at it by hand sees the last screens.
const KEPT: u64 = 64 * 1024;

/// Holes are punched in pieces of this size, not for each line.
const PIECE: u64 = 64 * 1024;

/// A file being followed.
#[derive(Debug)]
pub(super) struct Follow {
    path: PathBuf,
    watch: Inotify,
    file: Option<File>,
    position: u64,
    punched: u64,
    record: File,
}

impl Follow {
    /// Starts where the last shim of this run directory stopped.
    pub(super) fn start(path: &Path, run_directory: &Path) -> io::Result<Self> {
        let record = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(run_directory.join(POSITION_FILE))?;
        let mut number = [0; 8];
        let position = if record.read_exact_at(&mut number, 0).is_ok() {
            u64::from_le_bytes(number)
        } else {
            0
        };
        let watch = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        // The directory, for the file may not be there yet.
        let flags =
            AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
        watch.add_watch(path.parent().unwrap_or(Path::new("/")), flags)?;
        Ok(Self { path: path.to_owned(), watch, file: None, position, punched: 0, record })
    }

    /// Readable when there may be something new.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }

    /// Hands on what is new. What `take` refuses is offered again.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        while self.watch.read_events().is_ok_and(|events| !events.is_empty()) {}
        if self.file.is_none() {
            self.file = OpenOptions::new().read(true).write(true).open(&self.path).ok();
        }
        let Some(file) = &self.file else { return Ok(()) };
        if file.metadata()?.len() < self.position {
            // It was cut off or made anew.
            self.position = 0;
            self.punched = 0;
        }
        loop {
            let length = file.read_at(buffer, self.position)?;
            if length == 0 {
                break;
            }
            take(&buffer[..length])?;
            self.position += length as u64;
            self.record.write_all_at(&self.position.to_le_bytes(), 0)?;
        }
        if self.position > self.punched + KEPT + PIECE {
            let end = (self.position - KEPT) / PIECE * PIECE;
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            // A file system that cannot do it keeps the file whole: no harm.
            let _ = rustix::fs::fallocate(file, flags, 0, end);
            self.punched = end;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

    use super::Follow;

    #[test]
    fn a_second_reader_goes_on_where_the_first_stopped() {
        let home = tempfile::tempdir().expect("directory");
        let path = home.path().join("console.log");
        let mut writer = std::fs::File::create(&path).expect("file");
        let mut seen = Vec::new();
        let mut buffer = [0; 4096];
        for text in ["one\n", "two\n"] {
            writer.write_all(text.as_bytes()).expect("write");
            let mut follow = Follow::start(&path, home.path()).expect("follow");
            follow
                .read(&mut buffer, |bytes| {
                    seen.extend_from_slice(bytes);
                    Ok(())
                })
                .expect("read");
        }
        assert_eq!(seen, b"one\ntwo\n");
    }

    #[test]
    fn what_was_read_takes_no_room() {
        let home = tempfile::tempdir().expect("directory");
        let path = home.path().join("console.log");
        let mut writer = std::fs::File::create(&path).expect("file");
        writer.write_all(&vec![b'x'; 1 << 20]).expect("write");
        let mut follow = Follow::start(&path, home.path()).expect("follow");
        let mut read = 0;
        let mut buffer = [0; 4096];
        let mut count = |bytes: &[u8]| {
            read += bytes.len();
            Ok(())
        };
        follow.read(&mut buffer, &mut count).expect("read");
        assert_eq!(read, 1 << 20);
        assert!(path.metadata().expect("file").blocks() * 512 < 256 * 1024);
    }
}
