//! `version`: which Windlass this is.

use serde::Serialize;

use super::arguments::{Format, Version};
use super::{CommandError, Exit, Invocation};
use crate::state::{ledger, record};

/// What is said of a build.
#[derive(Serialize)]
struct Build {
    version: &'static str,
    architecture: &'static str,
    /// Forms of files on disk that it reads and writes.
    record_version: u32,
    ledger_version: u32,
    shim_version: u32,
}

const THIS: Build = Build {
    version: env!("CARGO_PKG_VERSION"),
    architecture: std::env::consts::ARCH,
    record_version: record::VERSION,
    ledger_version: ledger::VERSION,
    shim_version: crate::shim::VERSION,
};

pub(super) fn run(invocation: &Invocation, arguments: &Version) -> Result<Exit, CommandError> {
    let screen = &invocation.screen;
    if arguments.short {
        screen.data(THIS.version)?;
    } else if arguments.format == Format::Json {
        screen.json(&THIS)?;
    } else {
        screen.data(&format!(
            "windlass {} ({}; records v{}, ledger v{}, shim v{})",
            THIS.version,
            THIS.architecture,
            THIS.record_version,
            THIS.ledger_version,
            THIS.shim_version
        ))?;
    }
    Ok(Exit::Done)
}
