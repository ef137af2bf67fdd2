//! A terminal for a command in a container, relayed to the caller's own, which
//! is raw for that time and put back afterwards.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};

use crate::terminal::Raw;

/// Both ends of the terminal, and the caller's own while it is raw.
#[derive(Debug)]
pub(super) struct Terminal {
    outer: OwnedFd,
    inner: Option<OwnedFd>,
    raw: Option<Raw>,
    input_ended: bool,
    closed: bool,
}

impl Terminal {
    /// Makes one in the container's `/dev/pts`, whose root the caller has entered.
    pub(super) fn open() -> io::Result<Self> {
        let outer = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)?;
        grantpt(&outer)?;
        unlockpt(&outer)?;
        let name = ptsname_r(&outer)?;
        let inner = std::fs::File::options().read(true).write(true).open(name)?;
        // Both descriptors are its own from here on.
        let outer = outer.as_fd().try_clone_to_owned()?;
        let terminal =
            Self { outer, inner: Some(inner.into()), raw: None, input_ended: false, closed: false };
        terminal.resize();
        Ok(terminal)
    }

    /// The end that the command gets.
    pub(super) fn inner(&self) -> &OwnedFd {
        self.inner.as_ref().unwrap_or(&self.outer)
    }

    /// Lets go of the inner end and makes the caller's terminal raw.
    pub(super) fn take_over(mut self) -> io::Result<Self> {
        self.inner = None;
        rustix::io::ioctl_fionbio(&self.outer, true)?;
        self.raw = Some(Raw::enter()?);
        Ok(self)
    }

    /// Gives the command's terminal the size of the caller's.
    pub(super) fn resize(&self) {
        if let Ok(size) = rustix::termios::tcgetwinsize(io::stdin()) {
            let _ = rustix::termios::tcsetwinsize(&self.outer, size);
        }
    }

    /// Output of the command, input of the caller.
    pub(super) fn poll_set(&self) -> Vec<PollFd<'_>> {
        let reads = |on: bool| if on { PollFlags::POLLIN } else { PollFlags::empty() };
        let mut set = vec![PollFd::new(self.outer.as_fd(), reads(!self.closed))];
        if self.closed {
            set.clear();
        }
        if !self.input_ended {
            set.push(PollFd::new(rustix::stdio::stdin(), reads(true)));
        }
        set
    }

    /// Carries what there is, in the order of [`Self::poll_set`].
    pub(super) fn relay(&mut self, ready: &[bool]) {
        let mut ready = ready.iter().copied();
        if !self.closed && ready.next() == Some(true) {
            self.closed = !self.carry_out();
        }
        if !self.input_ended && ready.next() == Some(true) {
            self.carry_in();
        }
    }

    /// The command has ended: its last words.
    pub(super) fn drain(&mut self) {
        while self.carry_out() {}
    }

    /// Whether there may be more.
    fn carry_out(&self) -> bool {
        let mut buffer = [0; 4096];
        match rustix::io::read(&self.outer, &mut buffer) {
            Ok(length) if length > 0 => write_all(rustix::stdio::stdout(), &buffer[..length]),
            _ => false,
        }
    }

    fn carry_in(&mut self) {
        let mut buffer = [0; 1024];
        match rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
            Ok(length) if length > 0 => {
                write_all(self.outer.as_fd(), &buffer[..length]);
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            _ => self.input_ended = true,
        }
    }
}

fn write_all(to: std::os::fd::BorrowedFd<'_>, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => {
                let mut set = [PollFd::new(to, PollFlags::POLLOUT)];
                if nix::poll::poll(&mut set, nix::poll::PollTimeout::NONE).is_err() {
                    return false;
                }
            }
            Err(_) => return false,
        }
    }
    true
}
