//! Commands in a guest, over ssh. The guest's keys are those it told by itself
//! over virtio-serial: nothing is trusted on first use.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use russh::keys::{PrivateKeyWithHashAlg, PublicKey, decode_secret_key};
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig, client};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::GuestError;
use super::command::Remote;
use crate::engine::{ExecOutput, Streams};
use crate::terminal;

const PORT: u16 = 22;
/// From the first packet to being let in; an emulated guest takes two seconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// What is kept of a captured output.
const CAPTURED: usize = 64 * 1024;

/// Whom to speak to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its address.
    pub address: IpAddr,
    /// Our private key, OpenSSH format.
    pub private_key: String,
    /// Its keys as it told them, `type base64`.
    pub host_keys: Vec<String>,
}

/// An open connection, as one user. Several commands can run over it at once.
pub struct Connection {
    handle: client::Handle<Known>,
}

/// Compares the server's key with those the guest told.
struct Known(Vec<PublicKey>);

impl client::Handler for Known {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        offered: &russh::keys::PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        let russh::keys::PublicKeyOrCertificate::PublicKey { key, .. } = offered else {
            return Ok(false);
        };
        Ok(self.0.iter().any(|known| known.key_data() == key.key_data()))
    }
}

impl Connection {
    /// Connects and is let in as `user`.
    pub async fn open(target: &Target, user: &str) -> Result<Self, GuestError> {
        let address = SocketAddr::new(target.address, PORT);
        let opening = Self::open_at(address, target, user);
        match tokio::time::timeout(PATIENCE, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(GuestError::Silent { address }),
        }
    }

    async fn open_at(address: SocketAddr, target: &Target, user: &str) -> Result<Self, GuestError> {
        if target.host_keys.is_empty() {
            return Err(GuestError::NoHostKeys);
        }
        let keys = target.host_keys.iter();
        let known = Known(keys.filter_map(|key| PublicKey::from_openssh(key).ok()).collect());
        let key = decode_secret_key(&target.private_key, None).map_err(GuestError::Key)?;
        let stream = TcpStream::connect(address)
            .await
            .map_err(|source| GuestError::Unreachable { address, source })?;
        stream.set_nodelay(true).map_err(|source| GuestError::Unreachable { address, source })?;
        let config = client::Config {
            keepalive_interval: Some(Duration::from_secs(15)),
            ..client::Config::default()
        };
        let connected = client::connect_stream(Arc::new(config), stream, known).await;
        let mut handle = connected.map_err(|error| match error {
            russh::Error::UnknownKey => GuestError::WrongHostKey { address },
            other => GuestError::Ssh(other),
        })?;
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
        if !handle.authenticate_publickey(user, key).await?.success() {
            return Err(GuestError::Denied { user: user.to_owned() });
        }
        Ok(Self { handle })
    }

    /// Whether it broke.
    pub fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Runs what `remote` says; its exit code.
    pub async fn run(
        &self,
        remote: &Remote,
        tty: bool,
        streams: Streams,
    ) -> Result<ExecOutput, GuestError> {
        let channel = self.handle.channel_open_session().await?;
        let capture = streams == Streams::Capture;
        // Before the guest echoes anything; given back when this returns.
        let _raw = if tty && !capture {
            let (columns, rows) = terminal::size();
            let kind = std::env::var("TERM").unwrap_or_else(|_| "xterm".to_owned());
            channel.request_pty(false, &kind, columns, rows, 0, 0, &[]).await?;
            Some(terminal::Raw::enter().map_err(GuestError::Terminal)?)
        } else {
            None
        };
        match &remote.line {
            Some(line) => channel.exec(true, line.as_bytes()).await?,
            None => channel.request_shell(true).await?,
        }
        let (reader, writer) = channel.split();
        if capture {
            writer.eof().await?;
            return captured(reader).await;
        }
        let feed = feed(&writer, tty);
        let show = show(reader);
        tokio::select! {
            code = show => Ok(ExecOutput { code: code?, output: String::new() }),
            error = feed => Err(error),
        }
    }

    /// Runs a line of shell that reads `input`; its exit code and what it wrote.
    pub async fn feed(&self, line: &str, input: Vec<u8>) -> Result<ExecOutput, GuestError> {
        let channel = self.handle.channel_open_session().await?;
        channel.exec(true, line.as_bytes()).await?;
        let (reader, writer) = channel.split();
        let feed = async {
            // A shell that ends before it has read everything says so by its exit code.
            if writer.data_bytes(input).await.is_ok() {
                drop(writer.eof().await);
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            output = captured(reader) => output,
            () = feed => Err(GuestError::Broken),
        }
    }
}

/// Both outputs in the order they came.
async fn captured(mut reader: ChannelReadHalf) -> Result<ExecOutput, GuestError> {
    let mut bytes = Vec::new();
    let mut code = None;
    while let Some(message) = reader.wait().await {
        match message {
            ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, .. } => {
                let room = CAPTURED.saturating_sub(bytes.len());
                bytes.extend_from_slice(&data[..data.len().min(room)]);
            }
            other => code = code_of(&other)?.or(code),
        }
    }
    let code = code.ok_or(GuestError::Broken)?;
    Ok(ExecOutput { code, output: String::from_utf8_lossy(&bytes).into_owned() })
}

/// Passes the outputs on; the exit code.
async fn show(mut reader: ChannelReadHalf) -> Result<i32, GuestError> {
    let mut code = None;
    while let Some(message) = reader.wait().await {
        match message {
            ChannelMsg::Data { data } => pass_on(std::io::stdout(), &data)?,
            ChannelMsg::ExtendedData { data, .. } => pass_on(std::io::stderr(), &data)?,
            other => code = code_of(&other)?.or(code),
        }
    }
    code.ok_or(GuestError::Broken)
}

/// Blocks while the reader is slow: the guest shall wait too.
fn pass_on(mut to: impl Write, bytes: &[u8]) -> Result<(), GuestError> {
    to.write_all(bytes).and_then(|()| to.flush()).map_err(GuestError::Terminal)
}

fn code_of(message: &ChannelMsg) -> Result<Option<i32>, GuestError> {
    match message {
        ChannelMsg::ExitStatus { exit_status } => {
            Ok(Some(i32::try_from(*exit_status).unwrap_or(255)))
        }
        ChannelMsg::ExitSignal { signal_name, .. } => Ok(Some(128 + number_of(signal_name))),
        ChannelMsg::Failure => Err(GuestError::Refused),
        _ => Ok(None),
    }
}

fn number_of(signal: &Sig) -> i32 {
    match signal {
        Sig::HUP => libc::SIGHUP,
        Sig::INT => libc::SIGINT,
        Sig::QUIT => libc::SIGQUIT,
        Sig::ILL => libc::SIGILL,
        Sig::ABRT => libc::SIGABRT,
        Sig::FPE => libc::SIGFPE,
        Sig::KILL => libc::SIGKILL,
        Sig::USR1 => libc::SIGUSR1,
        Sig::SEGV => libc::SIGSEGV,
        Sig::PIPE => libc::SIGPIPE,
        Sig::ALRM => libc::SIGALRM,
        Sig::TERM => libc::SIGTERM,
        Sig::Custom(_) => 0,
    }
}

/// Passes on what the caller types and the size of its terminal; returns only
/// with an error.
async fn feed(writer: &ChannelWriteHalf<client::Msg>, tty: bool) -> GuestError {
    let mut input = standard_input();
    let mut open = true;
    let mut resized = match signal(SignalKind::window_change()) {
        Ok(resized) => resized,
        Err(error) => return GuestError::Terminal(error),
    };
    loop {
        let sent = tokio::select! {
            typed = input.recv(), if open => if let Some(bytes) = typed {
                writer.data_bytes(bytes).await
            } else {
                open = false;
                writer.eof().await
            },
            Some(()) = resized.recv(), if tty => {
                let (columns, rows) = terminal::size();
                writer.window_change(columns, rows, 0, 0).await
            }
            // The input has ended and there is no terminal: nothing to pass on.
            else => std::future::pending().await,
        };
        if sent.is_err() {
            // Said by the other side in a moment, with its exit code.
            std::future::pending::<()>().await;
        }
    }
}

/// Read by a thread of its own, which nobody waits for: a read from a terminal
/// cannot be taken back.
fn standard_input() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(4);
    std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(count @ 1..) = std::io::Read::read(&mut std::io::stdin(), &mut buffer) {
            if sender.blocking_send(buffer[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}
