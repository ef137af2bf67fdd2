//! What the plan needs and the file does not say: routes, ports in use,
//! resolved images, memory, what the host can do. Gathered here, once per
//! reconcile; it decides nothing.

pub mod gather;
mod memory;
pub mod surroundings;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::stack::{Healthcheck, ImageSource, Protocol};

/// Everything the plan is told besides the stack and what was observed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Identity of this state directory: part of every name on the host.
    pub home_id: String,
    /// Subnets that something else on the host has: routes, other stacks' bridges.
    pub taken_subnets: BTreeMap<Ipv4Net, String>,
    /// Ports that something else listens on, with who, where that is known.
    pub taken_ports: BTreeMap<(Protocol, u16), PortOwner>,
    /// Images that are in the store: source → digest.
    #[serde(with = "pairs")]
    pub images: BTreeMap<ImageSource, String>,
    /// The healthchecks of those that have one of their own.
    #[serde(with = "pairs", default)]
    pub image_checks: BTreeMap<ImageSource, Healthcheck>,
    /// With `--pull`: what the registry says now.
    #[serde(with = "pairs")]
    pub fresh_images: BTreeMap<ImageSource, String>,
    /// Bytes of memory the host has.
    pub memory_total: u64,
    /// Bytes of memory available now.
    pub memory_available: u64,
    /// Bytes of memory that VMs of other stacks were given.
    pub memory_of_other_vms: u64,
    /// MTU for new networks: the uplink's.
    pub mtu: u32,
    /// Why VMs are emulated; `None`: KVM works, or there is no VM.
    pub emulated: Option<String>,
    /// Engines that cannot be used, with the reason.
    pub unavailable: BTreeMap<crate::stack::Kind, String>,
    /// Bind-mount sources that are missing on the host, absolute paths.
    pub missing_paths: BTreeSet<std::path::PathBuf>,
    /// Subnets that earlier plans chose, by the file's name of the network: from
    /// the ledger, because a reboot takes the bridges away.
    pub recorded_subnets: BTreeMap<String, Ipv4Net>,
    /// Digests (`sha256:…`) of the files that secrets and configs come from, by
    /// absolute path, so that changed content is a changed definition.
    pub contents: BTreeMap<std::path::PathBuf, String>,
    /// Seconds since the epoch: the plan reads no clock of its own.
    pub now: i64,
}

/// Who holds a port of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortOwner {
    /// The address it listens on.
    pub address: IpAddr,
    /// `nginx (pid 812)`, `stack shop`, or nothing.
    pub who: Option<String>,
}

/// Maps with structured keys travel as lists of pairs.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(map)
    }

    pub(super) fn deserialize<'de, K, V, D>(from: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(from)?.into_iter().collect())
    }
}
