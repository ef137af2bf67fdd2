//! An instance as it shall be: the workload plus what the plan chose for it.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::stack::{Definition, InstanceId, StackName, Workload};

/// Everything an engine is told about one instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Desired {
    /// The stack it belongs to.
    pub stack: StackName,
    /// Which instance.
    pub id: InstanceId,
    /// The workload it is a copy of.
    pub workload: Workload,
    /// The same as flat fields: recorded, and compared at the next look.
    pub definition: Definition,
    /// Where it is on each network, in the order of interfaces (`eth0`, `eth1` …).
    pub addresses: Vec<Address>,
    /// Its host name.
    pub hostname: String,
    /// Volumes it mounts: the file's name → the name on disk.
    pub volumes: BTreeMap<String, String>,
    /// `<stack>.windlass.internal`
    pub search_domain: String,
    /// VM: start cloud-init anew with a new instance-id (`on_change: rerun`).
    pub rerun_cloud_init: bool,
}

/// One interface of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The network, by the file's name.
    pub network: String,
    /// The host's bridge.
    pub bridge: String,
    /// The host's end: veth or tap, 15 characters at most.
    pub host_interface: String,
    /// Its address there.
    pub ipv4: Ipv4Addr,
    /// The subnet.
    pub subnet: Ipv4Net,
    /// The gateway, which is also the name server.
    pub gateway: Ipv4Addr,
    /// Whether the default route goes here: the first network that is not internal.
    pub default_route: bool,
    /// Hardware address, `02:…`.
    pub mac: String,
    /// Maximum transmission unit.
    pub mtu: u32,
}
