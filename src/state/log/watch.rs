//! Waits until logs are written to: inotify, no polling.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Watches directories of logs, each by a number of the caller's.
#[derive(Debug)]
pub struct Watch {
    inotify: AsyncFd<Descriptor>,
    numbers: BTreeMap<WatchDescriptor, usize>,
}

#[derive(Debug)]
struct Descriptor(Inotify);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        use std::os::fd::AsFd;
        self.0.as_fd().as_raw_fd()
    }
}

#[expect(unsafe_code, reason = "the runtime is handed a descriptor to wait on")]
fn register(inotify: Descriptor) -> io::Result<AsyncFd<Descriptor>> {
    // SAFETY: the descriptor is owned by the value that is registered, is always
    // the same one, and is closed only when that value is dropped.
    let registered = unsafe { AsyncFd::register_with_interest(inotify, Interest::READABLE) };
    Ok(registered?)
}

impl Watch {
    /// Watches nothing yet. Must be called within a runtime.
    pub fn new() -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let inotify = register(Descriptor(inotify))?;
        Ok(Self { inotify, numbers: BTreeMap::new() })
    }

    /// Watches one more directory of log files.
    pub fn add(&mut self, directory: &Path, number: usize) -> io::Result<()> {
        let flags = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_ONLYDIR;
        let descriptor = self.inotify.get_ref().0.add_watch(directory, flags)?;
        self.numbers.insert(descriptor, number);
        Ok(())
    }

    /// Waits for a write; the numbers of the directories where something was
    /// written.
    pub async fn changed(&self) -> io::Result<Vec<usize>> {
        loop {
            let mut ready = self.inotify.readable().await?;
            match ready.get_inner().0.read_events() {
                Ok(events) => {
                    let mut numbers: Vec<usize> = events
                        .iter()
                        .filter_map(|event| self.numbers.get(&event.wd))
                        .copied()
                        .collect();
                    // When the kernel's queue overflowed, anything may have changed.
                    if events.iter().any(|event| event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW))
                    {
                        numbers = self.numbers.values().copied().collect();
                    }
                    numbers.sort_unstable();
                    numbers.dedup();
                    return Ok(numbers);
                }
                Err(nix::errno::Errno::EAGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
