//! What goes in and comes out of the process a shim minds: its output, the file
//! it follows, its input, its word that it is ready. It decides nothing about
//! the process.

use super::Minder;
use crate::shim::Refusal;
use crate::state::log::Stream;

impl Minder {
    /// Takes one piece of output to the log and to whoever is attached.
    pub(super) fn read_output(&mut self, index: usize) -> bool {
        let Some((output, stream)) = self.process.outputs.get(index) else { return false };
        let stream = *stream;
        match rustix::io::read(output, &mut self.buffer[..]) {
            Ok(length) if length > 0 => {
                let bytes = &self.buffer[..length];
                if let Some(log) = &mut self.log {
                    // A full disk loses lines; it must not stop the process.
                    drop(log.take(stream, bytes));
                }
                self.guests.iter_mut().for_each(|guest| guest.show(stream, bytes));
                true
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => false,
            // Its end; a terminal says so with an error.
            _ => {
                self.closed.push(index);
                false
            }
        }
    }

    pub(super) fn read_followed(&mut self) {
        let (Some(follow), Some(log)) = (&mut self.follow, &mut self.log) else { return };
        let guests = &mut self.guests;
        drop(follow.read(&mut self.buffer, |bytes| {
            for guest in guests.iter_mut() {
                guest.show(Stream::Stdout, bytes);
            }
            log.take(Stream::Stdout, bytes)
        }));
    }

    pub(super) fn write_input(&mut self) {
        if let Some(input) = &self.process.input {
            match rustix::io::write(input, &self.input_pending) {
                Ok(length) => drop(self.input_pending.drain(..length)),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                Err(_) => self.process.input = None,
            }
        }
        if self.process.input.is_none() || self.input_pending.is_empty() {
            self.input_pending = Vec::new();
        }
        if self.input_ended && self.input_pending.is_empty() && !self.process.terminal {
            self.process.input = None;
        }
    }

    /// Hears as much as was said; its word is whole when it closes its end.
    pub(super) fn hear_ready(&mut self) {
        let mut bytes = [0; 512];
        while let Some(ready) = &self.process.ready {
            match rustix::io::read(ready, &mut bytes) {
                Err(rustix::io::Errno::AGAIN) => return,
                Err(rustix::io::Errno::INTR) => {}
                Ok(length) if length > 0 => {
                    self.ready_said.extend_from_slice(&bytes[..length]);
                    if self.ready_said == b"ok\n" {
                        self.process.ready = None;
                        self.report();
                    }
                }
                _ => self.process.ready = None,
            }
        }
        // It ended without a word: its exit code will say more.
    }

    /// One that does not work ends. Its word is passed on when it has: whoever
    /// hears it may try again at once.
    pub(super) fn end_refusing(&self) {
        let refused = self.process.ready.is_none() && !self.ready_said.is_empty();
        if refused && self.reporter.is_some() {
            drop(self.signal(libc::SIGKILL));
        }
    }

    /// Why one that has ended was never ready, in its own words if it had any.
    pub(super) fn not_ready(&self, code: Option<i32>) -> Refusal {
        let said = String::from_utf8_lossy(&self.ready_said).trim().to_owned();
        let code = code.map_or_else(|| "unknown".to_owned(), |code| code.to_string());
        let ended = || format!("it ended before it was ready, with exit code {code}");
        Refusal::NotReady { reason: if said.is_empty() { ended() } else { said } }
    }
}
