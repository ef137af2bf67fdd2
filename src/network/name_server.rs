//! A network's name server: one small process at the gateway's address, which
//! outlives the command that made it. It answers for the network's names from a
//! file that others replace, and passes the rest on to the host's own
//! resolvers. It never writes anything.

pub(crate) mod answer;
mod files;
mod server;
mod upstream;

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::ports;
use super::zone::Zone;
use crate::shim::ready;
use crate::stack::Protocol;
use files::Fresh;

/// Form of the zone's file.
pub(crate) const VERSION: u32 = 1;

/// Port of the domain name system.
const PORT: u16 = 53;

/// What a name server knows: the content of its file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Served {
    /// Form of this file.
    pub(crate) version: u32,
    /// The search domain, without a dot at either end.
    pub(crate) domain: String,
    /// Where it listens.
    pub(crate) gateway: Ipv4Addr,
    /// The addresses it gives names for.
    pub(crate) subnet: Ipv4Net,
    /// Ask nobody outside.
    pub(crate) internal: bool,
    /// Where the host's resolvers are listed.
    pub(crate) resolvers: PathBuf,
    /// The names.
    pub(crate) zone: Zone,
}

/// Why it does not run.
#[derive(Debug, thiserror::Error)]
enum NameServerError {
    #[error("it was given no file")]
    Arguments,
    #[error("cannot read `{path}`: {source}", path = path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("cannot listen on {address}: {reason}")]
    Listen { address: SocketAddrV4, reason: String },
    #[error("cannot start: {0}")]
    Runtime(#[from] io::Error),
}

/// `windlass internal name-server FILE`
pub fn main(arguments: &[OsString]) -> ExitCode {
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ready::refuse(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[OsString]) -> Result<(), NameServerError> {
    let path = PathBuf::from(arguments.first().ok_or(NameServerError::Arguments)?);
    let served = Fresh::<Served>::open(&path, files::read_served)
        .map_err(|source| NameServerError::File { path: path.clone(), source })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, serve(served))
}

async fn serve(file: Fresh<Served>) -> Result<(), NameServerError> {
    let address = SocketAddrV4::new(file.last().gateway, PORT);
    let refused = |protocol| {
        move |error: io::Error| NameServerError::Listen {
            address,
            reason: ports::bind_failure(&error, protocol, address.into()),
        }
    };
    let datagrams = server::bind_udp(address).map_err(refused(Protocol::Udp))?;
    let streams = server::bind_tcp(address).map_err(refused(Protocol::Tcp))?;
    ready::ready();
    let server = Rc::new(server::Server::new(file));
    tokio::join!(Rc::clone(&server).datagrams(datagrams), server.streams(streams));
    Ok(())
}

/// Where the host's resolvers are listed, unless a test says otherwise.
pub(crate) fn host_resolvers() -> &'static Path {
    Path::new("/etc/resolv.conf")
}
