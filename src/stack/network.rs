//! Networks and published ports.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

/// A network of the stack. Its bridge's name is a function of home, stack and name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Its name in the file.
    pub name: String,
    /// The subnet the file asks for; `None`: the plan chooses a free one.
    pub subnet: Option<Ipv4Net>,
    /// The gateway the file asks for; `None`: the subnet's first address.
    pub gateway: Option<Ipv4Addr>,
    /// Nothing of it reaches beyond the host.
    pub internal: bool,
    /// Labels, which Windlass carries and never reads.
    pub labels: std::collections::BTreeMap<String, String>,
}

/// One published port. Ranges are resolved: one `Port` each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Port {
    /// The host's address; `None`: all of them.
    pub host_ip: Option<IpAddr>,
    /// The host's port; `None`: any free one.
    pub published: Option<u16>,
    /// The port inside.
    pub target: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

/// Protocol of a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}
