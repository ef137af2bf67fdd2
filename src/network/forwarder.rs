//! An instance's forwarder: one small process that holds its published ports on
//! the host, so that nobody else can have them, and carries what reaches them
//! on the host itself and from the instance's own network. What comes from
//! elsewhere goes past it, by the firewall's rules. It knows nothing of plans.

mod listen;
mod tcp;
mod udp;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::plan::Forward;
use crate::shim::ready;
use crate::stack::{InstanceId, Port, StackName};
use crate::state::{StateError, atomic};
use listen::Listening;

/// Form of both files.
pub(crate) const VERSION: u32 = 1;

/// Name of [`Forwarding`]'s file; its path is the process's argument.
pub(crate) const FILE: &str = "forward.json";

/// Name of [`Open`]'s file, beside the other.
const OPEN_FILE: &str = "open.json";

/// What a forwarder is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Forwarding {
    /// Form of this file.
    pub(crate) version: u32,
    /// The stack it belongs to.
    pub(crate) stack: StackName,
    /// Which instance.
    pub(crate) instance: InstanceId,
    /// Its ports, sorted.
    pub(crate) forwards: Vec<Forward>,
}

/// What a forwarder has opened: the ports with their numbers filled in. It
/// stays when the forwarder ends, so that the next one takes the same numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Open {
    /// Form of this file.
    pub(crate) version: u32,
    /// The ports.
    pub(crate) ports: BTreeSet<Port>,
}

impl Open {
    /// What the forwarder in this directory has opened, or had.
    pub(crate) fn read(directory: &Path) -> BTreeSet<Port> {
        let read = atomic::read_versioned::<Self>(&directory.join(OPEN_FILE), VERSION);
        read.ok().flatten().map(|open| open.ports).unwrap_or_default()
    }
}

/// Why it does not run, as it tells its shim: one line of JSON, because what to
/// do next depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ForwarderError {
    /// A port is somebody else's.
    #[error("{0}")]
    Taken(String),
    /// An address is not one of the host's.
    #[error("{0}")]
    NoSuchAddress(String),
    /// Anything else.
    #[error("{0}")]
    System(String),
}

impl From<std::io::Error> for ForwarderError {
    fn from(error: std::io::Error) -> Self {
        Self::System(error.to_string())
    }
}

impl From<StateError> for ForwarderError {
    fn from(error: StateError) -> Self {
        Self::System(error.to_string())
    }
}

/// `windlass internal forward FILE`
pub fn main(arguments: &[OsString]) -> ExitCode {
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ready::refuse(&serde_json::to_string(&error).unwrap_or_else(|_| error.to_string()));
            ExitCode::FAILURE
        }
    }
}

/// The stack that a forwarder's file belongs to.
pub(super) fn stack_of(file: &Path) -> Option<StackName> {
    let told: Option<Forwarding> = atomic::read_versioned(file, VERSION).ok()?;
    told.map(|told| told.stack)
}

fn run(arguments: &[OsString]) -> Result<(), ForwarderError> {
    let missing = || ForwarderError::System("it was given no file".to_owned());
    let path = PathBuf::from(arguments.first().ok_or_else(missing)?);
    let told: Forwarding = atomic::read_versioned(&path, VERSION)?.ok_or_else(missing)?;
    let directory = path.parent().ok_or_else(missing)?;
    allow_many_descriptors();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, forward(&told, directory))
}

async fn forward(told: &Forwarding, directory: &Path) -> Result<(), ForwarderError> {
    let before = Open::read(directory);
    let listening = listen::open_all(&told.forwards, &before)?;
    let ports = listening.iter().map(|one| one.port.clone()).collect();
    atomic::write_cache(&directory.join(OPEN_FILE), &Open { version: VERSION, ports })?;
    for one in listening {
        serve(one)?;
    }
    ready::ready();
    std::future::pending().await
}

fn serve(listening: Listening) -> Result<(), ForwarderError> {
    let to = (listening.to, listening.port.target).into();
    for socket in listening.streams {
        tokio::task::spawn_local(tcp::serve(tokio::net::TcpListener::from_std(socket)?, to));
    }
    for socket in listening.datagrams {
        udp::serve(tokio::net::UdpSocket::from_std(socket)?, to)?;
    }
    Ok(())
}

/// Two descriptors per connection: as many as the system lets a process have.
fn allow_many_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}
