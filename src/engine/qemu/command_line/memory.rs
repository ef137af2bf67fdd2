//! The machine's memory: always shared, so that virtiofs can be added to a
//! machine that runs.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{Arguments, escape};

pub(super) fn add(arguments: &mut Arguments, machine: &str, bytes: u64) {
    arguments.option("-object", format!("memory-backend-memfd,id=memory,size={bytes}B,share=on"));
    arguments.option("-machine", format!("{},memory-backend=memory", escape(machine)));
    arguments.option("-m", format!("{bytes}B"));
}
