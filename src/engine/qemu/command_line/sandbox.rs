//! What QEMU itself may do: its seccomp sandbox, and a user of its own once
//! everything it needs is open.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::Arguments;

/// Whom QEMU becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DropTo {
    /// User and group.
    pub id: u32,
    /// Whether this QEMU spells it `-run-with user=` (from 9.1) or `-runas`.
    pub run_with: bool,
}

pub(super) fn add(arguments: &mut Arguments, drop_to: Option<DropTo>) {
    // The filter is in force before QEMU becomes somebody else, so it cannot deny
    // that. Nothing is lost: without privileges and with `no_new_privs` there is
    // nothing to raise oneself with.
    let elevate = if drop_to.is_some() { "" } else { "elevateprivileges=deny," };
    arguments
        .option("-sandbox", format!("on,obsolete=deny,{elevate}spawn=deny,resourcecontrol=deny"));
    match drop_to {
        None => {}
        Some(DropTo { id, run_with: true }) => {
            arguments.option("-run-with", format!("user={id}:{id}"));
        }
        Some(DropTo { id, run_with: false }) => arguments.option("-runas", format!("{id}:{id}")),
    }
}
