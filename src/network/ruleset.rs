//! The stack's firewall table as pure data and text: one table per stack,
//! `inet windlass_<id>`, replaced as a whole.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::stack::Port;

/// Names one rule for good: a digest of its text, carried in its comment, so
/// that a rule deleted behind our back is missed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleId(pub String);

/// What the table shall do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruleset {
    /// Name of the table, `windlass_<id>`.
    pub table: String,
    /// The stack's networks.
    pub networks: Vec<RulesetNetwork>,
    /// Published ports.
    pub published: BTreeSet<Published>,
}

/// A network, as far as the firewall cares.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RulesetNetwork {
    /// Name of the bridge.
    pub bridge: String,
    /// Its subnet.
    pub subnet: Ipv4Net,
    /// Nothing of it reaches beyond the host.
    pub internal: bool,
}

/// A published port, as far as the firewall cares.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Published {
    /// The port as the file has it, `published` filled in.
    pub port: Port,
    /// Where it leads.
    pub to: Ipv4Addr,
    /// The bridge that leads there.
    pub bridge: String,
}
