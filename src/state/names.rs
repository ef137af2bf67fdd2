//! Names on the host: interfaces, cgroups, tables. Functions of home, stack and
//! resource, so that stacks, users and parallel tests never meet.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use sha2::{Digest, Sha256};

use crate::stack::{InstanceId, StackName};

/// The first `digits` hex digits of a digest over `parts`, unambiguous in
/// where one part ends.
pub fn hash(parts: &[&str], digits: usize) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part.as_bytes());
    }
    let mut text = hex::encode(digest.finalize());
    text.truncate(digits);
    text
}

/// The stack's id on the host: part of its table, cgroup and labels.
pub fn stack_id(home_id: &str, stack: &StackName) -> String {
    hash(&[home_id, stack.as_str()], 10)
}

/// `windlass_<id>`: the stack's firewall table (`inet` family).
pub fn table(home_id: &str, stack: &StackName) -> String {
    format!("windlass_{}", stack_id(home_id, stack))
}

/// The bridge of a network: `wl-` + six digits of home and stack + six of the
/// network. Fifteen characters, the kernel's limit.
pub fn bridge(home_id: &str, stack: &StackName, network: &str) -> String {
    let of_stack = hash(&[home_id, stack.as_str()], 6);
    let of_network = hash(&[home_id, stack.as_str(), "network", network], 6);
    format!("wl-{of_stack}{of_network}")
}

/// How the names of all interfaces of a stack begin, bridges too.
pub fn interfaces(home_id: &str, stack: &StackName) -> String {
    format!("wl-{}", hash(&[home_id, stack.as_str()], 6))
}

/// The host's end of an instance's interface on a network.
pub fn interface(home_id: &str, stack: &StackName, id: &InstanceId, network: &str) -> String {
    let of_stack = hash(&[home_id, stack.as_str()], 6);
    let number = id.number.to_string();
    let of_instance =
        hash(&[home_id, stack.as_str(), "interface", &id.workload, &number, network], 6);
    format!("wl-{of_stack}{of_instance}")
}

/// A hardware address that stays the same for the same instance and network.
/// Locally administered, unicast: `02:…`.
pub fn mac(home_id: &str, stack: &StackName, id: &InstanceId, network: &str) -> String {
    let number = id.number.to_string();
    let digits = hash(&[home_id, stack.as_str(), "mac", &id.workload, &number, network], 10);
    let pairs: Vec<&str> =
        (0..5).filter_map(|index| digits.get(index * 2..index * 2 + 2)).collect();
    format!("02:{}", pairs.join(":"))
}

/// The label that an interface carries in its `ifalias`.
pub fn label(home_id: &str, stack: &StackName, what: &str) -> String {
    format!("windlass:{home_id}:{stack}:{what}")
}

/// The cgroup of an instance, below the hierarchy's root, without a leading slash.
pub fn cgroup(home_id: &str, stack: &StackName, id: &InstanceId) -> String {
    format!("windlass.slice/{}/{}-{}", stack_id(home_id, stack), id.workload, id.number)
}
