//! What is said over a shim's socket: one JSON line each way, with a version.
//! A request that a shim does not know gets an error and nothing else happens,
//! so that a new Windlass can talk to an old shim.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{ShimError, Status, VERSION};
use crate::state::log::Stream;

/// Name of the socket within the run directory.
pub const SOCKET: &str = "shim.sock";

/// A line on the socket.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line<T> {
    /// [`VERSION`] of whoever wrote it.
    pub(super) version: u32,
    /// What is said.
    pub(super) body: T,
}

/// What a shim can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// How its process is.
    Status,
    /// Send a signal to its process.
    Signal {
        /// The signal's number.
        signal: i32,
    },
    /// Freeze the cgroup.
    Pause,
    /// Thaw the cgroup.
    Resume,
    /// Connect to the process's standard streams; see [`Attached`].
    Attach,
    /// Change the size of the terminal.
    Resize {
        /// Lines.
        rows: u16,
        /// Columns.
        cols: u16,
    },
}

/// What a shim answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is done.
    Done,
    /// Answer to [`Request::Status`].
    Status {
        /// As in `status.json`.
        status: Status,
        /// Whether it is frozen.
        paused: bool,
    },
    /// It was not done.
    Error {
        /// Why.
        reason: String,
    },
}

/// Asks the shim of `run_directory`.
pub fn request(run_directory: &Path, request: &Request) -> Result<Reply, ShimError> {
    ask(run_directory, request).map(|(reply, _)| reply)
}

/// A connection to a process's standard streams. What is written to it goes to
/// the process's input, if that is open; shutting down the writing side ends
/// the input of a process without a terminal.
#[derive(Debug)]
pub struct Attached {
    stream: BufReader<UnixStream>,
}

impl Attached {
    /// Connects; several may be connected at once, each sees what comes from then on.
    pub fn connect(run_directory: &Path) -> Result<Self, ShimError> {
        ask(run_directory, &Request::Attach).map(|(_, stream)| Self { stream })
    }

    /// The socket, to write input to and to wait on.
    pub fn socket(&self) -> &UnixStream {
        self.stream.get_ref()
    }

    /// The next piece of output; `None`: the process has ended.
    pub fn next_output(&mut self) -> io::Result<Option<(Stream, Vec<u8>)>> {
        let mut head = [0; 5];
        match self.stream.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let [stream, length @ ..] = head;
        let mut bytes = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut bytes)?;
        let stream = if stream == 2 { Stream::Stderr } else { Stream::Stdout };
        Ok(Some((stream, bytes)))
    }
}

/// One piece of output as it goes over an attached connection.
pub(super) fn frame(stream: Stream, bytes: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(bytes.len() + 5);
    frame.push(if stream == Stream::Stderr { 2 } else { 1 });
    frame.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(bytes);
    frame
}

fn ask(
    run_directory: &Path,
    request: &Request,
) -> Result<(Reply, BufReader<UnixStream>), ShimError> {
    let path = run_directory.join(SOCKET);
    let failed = |error: io::Error| match error.kind() {
        // The last two: it ended while it was asked.
        io::ErrorKind::NotFound
        | io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe => ShimError::Gone { run_directory: run_directory.to_owned() },
        _ => ShimError::io("ask", &path)(error),
    };
    let mut stream = connect(run_directory).map_err(failed)?;
    let mut line =
        serde_json::to_vec(&Line { version: VERSION, body: request }).map_err(ShimError::Reply)?;
    line.push(b'\n');
    stream.write_all(&line).map_err(failed)?;
    let mut reader = BufReader::new(stream);
    let mut answer = Vec::new();
    reader.read_until(b'\n', &mut answer).map_err(failed)?;
    if answer.is_empty() {
        return Err(ShimError::Gone { run_directory: run_directory.to_owned() });
    }
    let answer: Line<Reply> = serde_json::from_slice(&answer).map_err(ShimError::Reply)?;
    match answer.body {
        Reply::Error { reason } => Err(ShimError::Denied { reason }),
        reply => Ok((reply, reader)),
    }
}

/// The socket by way of its directory's descriptor: however long the path of
/// the state directory is, it fits into a socket's address.
fn connect(run_directory: &Path) -> io::Result<UnixStream> {
    let directory = File::open(run_directory)?;
    UnixStream::connect(short_path(&directory))
}

/// Makes the socket, in place of one that a killed shim left behind.
pub(super) fn listen(run_directory: &Path) -> io::Result<UnixListener> {
    let directory = File::open(run_directory)?;
    let path = short_path(&directory);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn short_path(directory: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_shim_that_ends_while_it_is_asked_is_gone() {
        let home = tempfile::tempdir().expect("directory");
        let listener = UnixListener::bind(home.path().join(SOCKET)).expect("socket");
        let ending = std::thread::spawn(move || {
            let (mut guest, _) = listener.accept().expect("somebody asks");
            // One byte is heard, the rest is not.
            std::io::Read::read_exact(&mut guest, &mut [0]).expect("a question");
        });
        let answer = request(home.path(), &Request::Status);
        assert!(matches!(answer, Err(ShimError::Gone { .. })), "{answer:?}");
        ending.join().expect("it ended");
    }
}
