//! Those who come to the shim's socket: what they ask is carried out, what
//! they type goes to the process.

use std::io;

use nix::poll::PollFlags;

use super::Minder;
use crate::shim::door::{Guest, Heard};
use crate::shim::protocol::{Reply, Request};

impl Minder {
    pub(super) fn open_door(&mut self) {
        while let Ok((stream, _)) = self.door.accept() {
            self.guests.extend(Guest::new(stream));
        }
    }

    pub(super) fn serve(&mut self, index: usize, flags: PollFlags) {
        let Some(guest) = self.guests.get_mut(index) else { return };
        if flags.contains(PollFlags::POLLOUT) {
            guest.flush();
        }
        if !flags.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR) {
            return;
        }
        match guest.hear(&mut self.buffer) {
            Heard::Nothing => {}
            Heard::Input(bytes) => self.take_input(&bytes),
            Heard::InputEnded => {
                self.input_ended = true;
                self.write_input();
            }
            Heard::Request(request) => self.carry_out(index, &request),
        }
    }

    pub(super) fn take_input(&mut self, bytes: &[u8]) {
        if self.process.input.is_some() && !self.input_ended {
            self.input_pending.extend_from_slice(bytes);
            self.write_input();
        }
    }

    pub(super) fn carry_out(&mut self, index: usize, request: &Request) {
        let reply = match self.obey(request) {
            Ok(reply) => reply,
            Err(error) => Reply::Error { reason: error.to_string() },
        };
        let Some(guest) = self.guests.get_mut(index) else { return };
        let attaches = *request == Request::Attach && reply == Reply::Done;
        guest.answer(reply);
        if attaches {
            let input = guest.attach();
            self.take_input(&input);
        }
    }

    pub(super) fn obey(&self, request: &Request) -> io::Result<Reply> {
        let cgroup = self.spec.cgroup.as_ref().map(|cgroup| cgroup.path.as_str());
        match request {
            Request::Status => {
                let paused = cgroup.is_some_and(|path| self.hierarchies.frozen(path));
                return Ok(Reply::Status { status: self.status.clone(), paused });
            }
            Request::Signal { signal } => self.signal(*signal)?,
            Request::Pause | Request::Resume => {
                let path = cgroup.ok_or_else(|| io::Error::other("it has no cgroup"))?;
                self.hierarchies.freeze(path, *request == Request::Pause)?;
            }
            Request::Attach => {}
            Request::Resize { rows, cols } => {
                let terminal = self.process.outputs.first().filter(|_| self.process.terminal);
                let (terminal, _) =
                    terminal.ok_or_else(|| io::Error::other("it has no terminal"))?;
                let size = rustix::termios::Winsize {
                    ws_row: *rows,
                    ws_col: *cols,
                    ws_xpixel: 0,
                    ws_ypixel: 0,
                };
                rustix::termios::tcsetwinsize(terminal, size)?;
            }
        }
        Ok(Reply::Done)
    }
}
