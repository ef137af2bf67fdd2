//! Networks: a bridge each, one firewall table per stack, a name server at
//! each gateway, forwarders for published ports. All of it works in the
//! network namespace of the caller. It never touches an interface, table or
//! rule that does not carry our label.

pub mod allocation;
pub mod zone;
pub mod ruleset;
mod label;
mod kernel;
mod claims;
mod bridge;
mod changes;
pub mod facts;
pub mod ports;
mod tables;
mod firewall;
mod docker;
mod sockets;
mod accepting;
pub mod name_server;
pub mod forwarder;
mod process;
mod host;

pub use host::HostNetworks;

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

/// A network as the plan decided it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPlan {
    /// Its name in the file.
    pub name: String,
    /// Name of the bridge: see [`crate::state::names`].
    pub bridge: String,
    /// The label that goes into `ifalias`.
    pub label: String,
    /// Its subnet.
    pub subnet: Ipv4Net,
    /// The gateway's address, on the bridge; the name server listens there.
    pub gateway: Ipv4Addr,
    /// Nothing of it reaches beyond the host.
    pub internal: bool,
    /// Maximum transmission unit.
    pub mtu: u32,
    /// `<stack>.windlass.internal`
    pub domain: String,
}
