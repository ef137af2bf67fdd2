//! Descriptors that are waited for within a runtime: what becomes readable when a
//! process ends, and what the kernel says of files. It reads nothing but to know
//! that there was something.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor that can be waited for. Must be called within a runtime.
#[expect(unsafe_code, reason = "tokio asks for a promise that descriptors stay what they are")]
pub(crate) fn readable(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor keeps its number until it is dropped, and nobody
    // else can replace it.
    unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }
        .map_err(io::Error::from)
}

/// Hears when a file, or something in a directory, is changed.
#[derive(Debug)]
pub struct Watch(AsyncFd<OwnedFd>);

impl Watch {
    /// Watches a path for these changes. Must be called within a runtime.
    pub(crate) fn new(path: &Path, changes: WatchFlags) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        inotify::add_watch(&inotify, path, changes)?;
        Ok(Self(readable(inotify)?))
    }

    /// Waits until there was one. Look after the watch was made, and again after this.
    pub async fn changed(&self) -> io::Result<()> {
        let mut guard = self.0.readable().await?;
        // What happened does not matter, only that something did.
        let _ = rustix::io::read(guard.get_inner(), &mut [0; 4096]);
        guard.clear_ready();
        Ok(())
    }
}
