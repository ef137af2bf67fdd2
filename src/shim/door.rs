//! Who has connected to a shim's socket: requests of one line, and attached
//! connections that see the output and feed the input.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use serde_json::Value;

use super::VERSION;
use super::protocol::{Line, Reply, Request, frame};
use crate::state::log::Stream;

/// A request is one short line; who says more says nothing we know.
const LONGEST_REQUEST: usize = 4096;

/// A reader that is behind by more than this is let go: the log has it all.
const LONGEST_BACKLOG: usize = 256 * 1024;

/// One connection.
#[derive(Debug)]
pub(super) struct Guest {
    stream: UnixStream,
    heard: Vec<u8>,
    unsent: Vec<u8>,
    attached: bool,
    input_ended: bool,
    gone: bool,
}

/// What a connection brought.
pub(super) enum Heard {
    /// Nothing that needs doing.
    Nothing,
    /// A request to be answered.
    Request(Request),
    /// Input for the process.
    Input(Vec<u8>),
    /// No more input will come.
    InputEnded,
}

impl Guest {
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            heard: Vec::new(),
            unsent: Vec::new(),
            attached: false,
            input_ended: false,
            gone: false,
        })
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Whether it can be forgotten.
    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Whether something it says could be taken now.
    pub(super) fn listens(&self, input_full: bool) -> bool {
        !(self.input_ended || self.attached && input_full)
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Reads what has come.
    pub(super) fn hear(&mut self, buffer: &mut [u8]) -> Heard {
        let length = match self.stream.read(buffer) {
            Ok(0) if self.attached => {
                // Half closed: it may still want to see the output.
                self.input_ended = true;
                return Heard::InputEnded;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Heard::Nothing,
            Ok(0) | Err(_) => {
                self.gone = true;
                return Heard::Nothing;
            }
            Ok(length) => length,
        };
        if self.attached {
            return Heard::Input(buffer[..length].to_vec());
        }
        self.heard.extend_from_slice(&buffer[..length]);
        let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') else {
            self.gone = self.heard.len() > LONGEST_REQUEST;
            return Heard::Nothing;
        };
        let line: Vec<u8> = self.heard.drain(..=end).collect();
        match parse(&line) {
            Ok(request) => Heard::Request(request),
            Err(reason) => {
                self.answer(Reply::Error { reason });
                Heard::Nothing
            }
        }
    }

    /// Answers a request.
    pub(super) fn answer(&mut self, reply: Reply) {
        let line = serde_json::to_vec(&Line { version: VERSION, body: reply });
        let mut line = line.unwrap_or_default();
        line.push(b'\n');
        self.send(&line);
    }

    /// From now on it sees the output. Gives what it said right behind its request.
    pub(super) fn attach(&mut self) -> Vec<u8> {
        self.attached = true;
        std::mem::take(&mut self.heard)
    }

    /// Shows it a piece of output.
    pub(super) fn show(&mut self, stream: Stream, bytes: &[u8]) {
        if self.attached {
            self.send(&frame(stream, bytes));
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.unsent.extend_from_slice(bytes);
        self.flush();
        self.gone |= self.unsent.len() > LONGEST_BACKLOG;
    }

    /// Sends what could not be sent before.
    pub(super) fn flush(&mut self) {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(length) if length > 0 => drop(self.unsent.drain(..length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                _ => {
                    self.gone = true;
                    self.unsent = Vec::new();
                    return;
                }
            }
        }
        self.unsent = Vec::new();
    }
}

/// A version is only looked at when the words are not understood: a newer
/// caller that says what we know gets what it asked for.
fn parse(line: &[u8]) -> Result<Request, String> {
    let line: Line<Value> =
        serde_json::from_slice(line).map_err(|error| format!("not a request: {error}"))?;
    serde_json::from_value(line.body).map_err(|error| {
        format!("this shim speaks version {VERSION}, asked in version {}: {error}", line.version)
    })
}
