//! QEMU's control socket: JSON lines, one command at a time, events between.
//! It knows no machine; it only speaks.

use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};

/// What can go wrong on the socket.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// It cannot be reached, or broke.
    #[error("cannot speak to QEMU over `{socket}`", socket = socket.display())]
    Io {
        /// Its path.
        socket: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// It was closed.
    #[error("QEMU hung up")]
    HungUp,
    /// A line is not what the protocol has.
    #[error("QEMU said what is not QMP: `{0}`")]
    Nonsense(String),
    /// A command was refused.
    #[error("QEMU refused `{command}`: {reason}")]
    Refused {
        /// The command.
        command: String,
        /// QEMU's words.
        reason: String,
    },
}

/// Something that QEMU says by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// `SHUTDOWN`, `RESET`, `STOP` …
    pub name: String,
    /// What comes with it.
    pub data: Value,
}

/// A conversation.
#[derive(Debug)]
pub struct Qmp {
    socket: PathBuf,
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    events: VecDeque<Event>,
}

/// A socket that a starting QEMU connects to: it answers once it does.
#[derive(Debug)]
pub struct Greeting {
    socket: PathBuf,
    listener: UnixListener,
}

impl Greeting {
    /// Listens at `name` in `directory`.
    pub fn listen(directory: &Path, name: &str) -> Result<Self, QmpError> {
        let socket = directory.join(name);
        let failed = |source| QmpError::Io { socket: socket.clone(), source };
        match std::fs::remove_file(&socket) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(error));
            }
            _ => {}
        }
        let (_open, short) = short_path(&socket).map_err(failed)?;
        let listener = UnixListener::bind(short).map_err(failed)?;
        Ok(Self { socket, listener })
    }

    /// Waits for QEMU to connect and to answer.
    pub async fn answered(self) -> Result<Qmp, QmpError> {
        let failed = |source| QmpError::Io { socket: self.socket.clone(), source };
        let (stream, _) = self.listener.accept().await.map_err(failed)?;
        // Nobody else shall find it.
        drop(std::fs::remove_file(&self.socket));
        Qmp::greet(self.socket, stream).await
    }
}

impl Qmp {
    /// Connects to the socket that QEMU listens on.
    pub async fn connect(socket: &Path) -> Result<Self, QmpError> {
        let failed = |source| QmpError::Io { socket: socket.to_owned(), source };
        let (_open, short) = short_path(socket).map_err(failed)?;
        let stream = UnixStream::connect(short).await.map_err(failed)?;
        Self::greet(socket.to_owned(), stream).await
    }

    async fn greet(socket: PathBuf, stream: UnixStream) -> Result<Self, QmpError> {
        let (reader, writer) = stream.into_split();
        let mut qmp =
            Self { socket, reader: BufReader::new(reader), writer, events: VecDeque::new() };
        let greeting = qmp.line().await?;
        if greeting.get("QMP").is_none() {
            return Err(QmpError::Nonsense(greeting.to_string()));
        }
        qmp.execute("qmp_capabilities", Value::Null).await?;
        Ok(qmp)
    }

    /// Runs a command; what it returned. Events that come meanwhile are kept.
    pub async fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        let mut request = json!({ "execute": command });
        if !arguments.is_null() {
            request["arguments"] = arguments;
        }
        let line = format!("{request}\n");
        let written = self.writer.write_all(line.as_bytes()).await;
        written.map_err(|source| QmpError::Io { socket: self.socket.clone(), source })?;
        loop {
            let mut answer = self.line().await?;
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = answer.get("error") {
                let reason = error["desc"].as_str().unwrap_or("no reason given").to_owned();
                return Err(QmpError::Refused { command: command.to_owned(), reason });
            }
            self.keep(answer)?;
        }
    }

    /// The next thing that QEMU says by itself.
    pub async fn event(&mut self) -> Result<Event, QmpError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            let line = self.line().await?;
            self.keep(line)?;
        }
    }

    fn keep(&mut self, mut line: Value) -> Result<(), QmpError> {
        let Some(name) = line.get("event").and_then(Value::as_str).map(str::to_owned) else {
            return Err(QmpError::Nonsense(line.to_string()));
        };
        self.events.push_back(Event { name, data: line["data"].take() });
        Ok(())
    }

    async fn line(&mut self) -> Result<Value, QmpError> {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line).await;
        match read.map_err(|source| QmpError::Io { socket: self.socket.clone(), source })? {
            0 => Err(QmpError::HungUp),
            _ => serde_json::from_str(&line)
                .map_err(|_| QmpError::Nonsense(line.trim_end().to_owned())),
        }
    }
}

/// The socket by way of its directory's descriptor: whatever the length of its
/// path, it fits into the 108 bytes of an address.
fn short_path(socket: &Path) -> std::io::Result<(File, PathBuf)> {
    let directory = File::open(socket.parent().unwrap_or_else(|| Path::new(".")))?;
    let name = socket.file_name().unwrap_or_default();
    let short = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
    Ok((directory, short))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::UnixListener;

    use super::{Event, Greeting, Qmp, QmpError};

    const GREETING: &str = r#"{"QMP": {"version": {}, "capabilities": []}}"#;

    /// A QEMU that says `replies`, one for each line it reads.
    async fn scripted(listener: UnixListener, greeting: &str, replies: &[&str]) -> Vec<String> {
        let (stream, _) = listener.accept().await.expect("a client");
        let mut stream = BufReader::new(stream);
        stream.write_all(format!("{greeting}\n").as_bytes()).await.expect("greet");
        let mut heard = Vec::new();
        for reply in replies {
            let mut line = String::new();
            if stream.read_line(&mut line).await.expect("read") == 0 {
                break;
            }
            heard.push(line.trim_end().to_owned());
            stream.write_all(format!("{reply}\n").as_bytes()).await.expect("reply");
        }
        heard
    }

    #[tokio::test]
    async fn events_between_a_command_and_its_answer_are_kept() {
        let home = tempfile::tempdir().expect("directory");
        let socket = home.path().join("qmp.sock");
        let listener = UnixListener::bind(&socket).expect("bind");
        let server = scripted(
            listener,
            GREETING,
            &[
                r#"{"return": {}}"#,
                "{\"event\": \"STOP\", \"data\": {\"x\": 1}}\n{\"return\": {\"status\": \"paused\"}}",
                r#"{"error": {"class": "CommandNotFound", "desc": "no such command"}}"#,
            ],
        );
        let client = async {
            let mut qmp = Qmp::connect(&socket).await.expect("connect");
            let status = qmp.execute("query-status", Value::Null).await.expect("status");
            assert_eq!(status, json!({ "status": "paused" }));
            let event = qmp.event().await.expect("event");
            assert_eq!(event, Event { name: "STOP".into(), data: json!({ "x": 1 }) });
            let refused = qmp.execute("cot", json!({ "a": 1 })).await.expect_err("refused");
            assert!(refused.to_string().contains("no such command"), "{refused}");
            assert!(matches!(qmp.event().await, Err(QmpError::HungUp)));
        };
        let (heard, ()) = tokio::join!(server, client);
        assert_eq!(heard[0], r#"{"execute":"qmp_capabilities"}"#);
        assert_eq!(heard[2], r#"{"arguments":{"a":1},"execute":"cot"}"#);
    }

    #[tokio::test]
    async fn another_protocol_is_noticed() {
        let home = tempfile::tempdir().expect("directory");
        let socket = home.path().join("qmp.sock");
        let listener = UnixListener::bind(&socket).expect("bind");
        let (_, client) = tokio::join!(scripted(listener, "220 mail", &[]), Qmp::connect(&socket));
        assert!(matches!(client, Err(QmpError::Nonsense(line)) if line == "220 mail"));
    }

    #[tokio::test]
    async fn a_starting_machine_answers_in_a_deep_directory() {
        let home = tempfile::tempdir().expect("directory");
        let deep = home.path().join("d".repeat(120));
        std::fs::create_dir(&deep).expect("directory");
        let greeting = Greeting::listen(&deep, "greet.sock").expect("listen");
        let machine = async {
            let (_open, short) = super::short_path(&deep.join("greet.sock")).expect("path");
            let stream = tokio::net::UnixStream::connect(short).await.expect("connect");
            let mut stream = BufReader::new(stream);
            stream.write_all(format!("{GREETING}\n").as_bytes()).await.expect("greet");
            let mut line = String::new();
            stream.read_line(&mut line).await.expect("read");
            stream.write_all(b"{\"return\": {}}\n").await.expect("reply");
        };
        let (answered, ()) = tokio::join!(greeting.answered(), machine);
        answered.expect("answer");
        assert!(!deep.join("greet.sock").exists());
    }
}
