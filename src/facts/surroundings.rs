//! What of the host belongs to no engine and is there all the same: other
//! people's subnets and ports, memory. A trait, so that a host in memory has
//! surroundings too.

use std::collections::BTreeMap;
use std::path::Path;

use ipnet::Ipv4Net;

use super::{PortOwner, memory};
use crate::engine::{EngineError, ErrorKind};
use crate::network::facts;
use crate::network::ports::{self, Wanted};
use crate::stack::{Protocol, StackName};

/// What a plan needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// Subnets that something else has, with who.
    pub taken_subnets: BTreeMap<Ipv4Net, String>,
    /// Of the ports that were asked about, those that something else has.
    pub taken_ports: BTreeMap<(Protocol, u16), PortOwner>,
    /// The uplink's MTU.
    pub mtu: u32,
    /// Bytes of memory.
    pub memory_total: u64,
    /// Bytes of memory available now.
    pub memory_available: u64,
}

/// For whom it is looked.
#[derive(Debug, Clone, Copy)]
pub struct For<'a> {
    /// Identity of the state directory.
    pub home_id: &'a str,
    /// The stack: what it has itself is left out.
    pub stack: &'a StackName,
    /// Where its own forwarders lie.
    pub own: &'a Path,
    /// Ports it may want.
    pub ports: &'a Wanted,
}

/// Looks around.
pub trait LookAround: Send + Sync {
    /// What is there now.
    fn look_around(&self, asked: For<'_>) -> Result<Surroundings, EngineError>;
}

/// The host that this process runs on, in its network namespace.
#[derive(Debug, Clone, Copy, Default)]
pub struct ThisHost;

impl LookAround for ThisHost {
    fn look_around(&self, asked: For<'_>) -> Result<Surroundings, EngineError> {
        let memory = memory::read().map_err(system("read the memory of"))?;
        let network =
            facts::look(asked.home_id, asked.stack).map_err(system("look at the network of"))?;
        let mut taken_subnets = network.taken_subnets;
        for (address, who) in ports::stray_name_servers(asked.own, &network.addresses) {
            taken_subnets.entry(Ipv4Net::from(address)).or_insert(who);
        }
        Ok(Surroundings {
            taken_subnets,
            taken_ports: ports::taken(asked.ports, asked.own),
            mtu: network.uplink_mtu,
            memory_total: memory.total,
            memory_available: memory.available,
        })
    }
}

fn system(operation: &'static str) -> impl FnOnce(std::io::Error) -> EngineError {
    move |error| EngineError::new("facts", operation, "the host", ErrorKind::System, error)
}
