//! Puts a [`Ruleset`] into the kernel by way of `nft`, and looks at what is
//! there. It touches our own table and nothing else; what Docker's chains need
//! is in [`super::docker`].

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

use super::ruleset::{RuleId, Ruleset};
use super::tables;

/// What can go wrong with the firewall.
#[derive(Debug, thiserror::Error)]
pub(super) enum FirewallError {
    /// The program is not installed.
    #[error("`{program}` is not installed")]
    Missing {
        /// `nft`, `iptables`.
        program: &'static str,
    },
    /// The program could not be run.
    #[error("cannot run `{program}`")]
    Run {
        /// `nft`, `iptables`.
        program: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The program did not do it.
    #[error("`{program}` says: {said}")]
    Refused {
        /// `nft`, `iptables`.
        program: &'static str,
        /// Its last words.
        said: String,
    },
    /// The kernel did not say what is in the table.
    #[error("cannot see what is in the table")]
    Look(#[source] io::Error),
    /// Forwarding between interfaces could not be turned on.
    #[error("cannot turn on forwarding in `{path}`")]
    Forwarding {
        /// The switch.
        path: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The switch of the calling thread's namespace.
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// Replaces the whole table in one transaction.
pub(super) fn apply(ruleset: &Ruleset) -> Result<(), FirewallError> {
    nft(&["-f", "-"], &ruleset.text()).map(drop)
}

/// The rules in the table that carry a name of ours; `None`: no table.
pub(super) fn observe(table: &str) -> Result<Option<BTreeSet<RuleId>>, FirewallError> {
    let comments = tables::comments(table).map_err(FirewallError::Look)?;
    Ok(comments.map(|comments| comments.into_iter().map(RuleId).collect()))
}

/// Removes the table, if it is there.
pub(super) fn remove(table: &str) -> Result<(), FirewallError> {
    // To declare a table that is there does nothing, so that this never fails
    // for want of one.
    let script = format!("table inet {table}\ndelete table inet {table}\n");
    nft(&["-f", "-"], &script).map(drop)
}

/// Has the kernel forward between interfaces.
pub(super) fn turn_on_forwarding() -> Result<(), FirewallError> {
    let failed = |source| FirewallError::Forwarding { path: FORWARDING, source };
    if std::fs::read_to_string(FORWARDING).map_err(failed)?.trim() != "0" {
        return Ok(());
    }
    tracing::info!("turning on net.ipv4.ip_forward: networks need it to reach beyond the host");
    std::fs::write(FORWARDING, "1\n").map_err(failed)
}

fn nft(arguments: &[&str], script: &str) -> Result<String, FirewallError> {
    run("nft", arguments, script)
}

/// Runs a program of the host in the calling thread's namespace; what it printed.
pub(super) fn run(
    program: &'static str,
    arguments: &[&str],
    input: &str,
) -> Result<String, FirewallError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => FirewallError::Missing { program },
        _ => FirewallError::Run { program, source },
    };
    let output = talk(program, arguments, input).map_err(failed)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(FirewallError::Refused { program, said })
}

fn talk(program: &str, arguments: &[&str], input: &str) -> io::Result<Output> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let written = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    match written {
        // Its own words say more than a broken pipe does.
        Some(Err(error)) if output.status.success() => Err(error),
        _ => Ok(output),
    }
}
