//! Waits until something of a stack's networks is changed, by whomever: a bridge
//! or an interface, a firewall table, one of its processes. It only says that
//! there is something to look at; reading what the kernel broadcasts in detail
//! would be looking twice.

use std::io;
use std::path::{Path, PathBuf};

use futures_util::future::{FutureExt, select_all};
use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use netlink_sys::{Socket, SocketAddr};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::shim;

/// `RTNLGRP_LINK` and `RTNLGRP_IPV4_IFADDR`, as the bits of `bind`
/// (`linux/rtnetlink.h`).
const LINKS_AND_ADDRESSES: u32 = 1 | (1 << 4);

/// `NFNLGRP_NFTABLES` (7) as a bit (`linux/netfilter/nfnetlink.h`).
const TABLES: u32 = 1 << 6;

/// What of the host belongs to the stack.
#[derive(Debug)]
pub(super) struct Watched {
    /// Interfaces of the stack begin like this.
    pub(super) interfaces: String,
    /// Its firewall table.
    pub(super) table: String,
    /// Where its processes have their status.
    pub(super) processes: Vec<PathBuf>,
}

/// Returns when any of it has changed.
pub(super) async fn changed(watched: &Watched) -> io::Result<()> {
    let links = Broadcasts::listen(NETLINK_ROUTE, LINKS_AND_ADDRESSES)?;
    let tables = Broadcasts::listen(NETLINK_NETFILTER, TABLES)?;
    let ends = watched.processes.iter().map(|directory| ended(directory).boxed());
    let ends = ends.chain([std::future::pending().boxed()]);
    tokio::select! {
        heard = links.naming(watched.interfaces.as_bytes()) => heard,
        heard = tables.naming(watched.table.as_bytes()) => heard,
        _ = select_all(ends) => Ok(()),
    }
}

/// Returns when the process that has its status there ends; never, if there is none.
async fn ended(directory: &Path) {
    if shim::look(directory).is_none_or(|alive| !alive.process)
        || shim::ended(directory, &directory.join("exit.json")).await.is_err()
    {
        std::future::pending::<()>().await;
    }
}

/// What the kernel tells everybody.
struct Broadcasts(AsyncFd<Socket>);

impl Broadcasts {
    #[expect(unsafe_code, reason = "tokio takes a descriptor on trust")]
    fn listen(protocol: isize, groups: u32) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.set_non_blocking(true)?;
        socket.bind(&SocketAddr::new(0, groups))?;
        // SAFETY: the socket is owned by what is returned, and its descriptor stays the same.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
        Ok(Self(socket.map_err(io::Error::from)?))
    }

    /// Returns when something is said in which `name` stands.
    async fn naming(&self, name: &[u8]) -> io::Result<()> {
        let mut heard = Vec::with_capacity(32 * 1024);
        loop {
            let mut guard = self.0.readable().await?;
            heard.clear();
            match guard.get_inner().recv(&mut heard, 0) {
                Ok(_) if heard.windows(name.len()).any(|part| part == name) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                // More was said than could be heard: look at everything.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}
