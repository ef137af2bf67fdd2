//! What a network's name server answers for: pure data, written by the plan.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// Names of one network, lower case, without the search domain. A name with
/// several addresses (a replicated workload, a shared alias) resolves to all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Zone(pub BTreeMap<String, Vec<Ipv4Addr>>);
