//! Puts a [`Ruleset`] into the kernel and looks at what is there, by way of
//! `nft`. It touches our own table and nothing else; what Docker's chains need
//! is in [`super::docker`].

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

use super::ruleset::{RuleId, Ruleset};

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
    /// What it printed is not what it prints.
    #[error("the answer of `nft` cannot be understood")]
    Answer(#[source] serde_json::Error),
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
/// `expected` only says which question is asked first, so that one is enough.
pub(super) fn observe(
    table: &str,
    expected: bool,
) -> Result<Option<BTreeSet<RuleId>>, FirewallError> {
    if !expected && !tables()?.contains(table) {
        return Ok(None);
    }
    match nft(&["-j", "list", "table", "inet", table], "") {
        Ok(listing) => rule_ids(&listing).map(Some).map_err(FirewallError::Answer),
        Err(FirewallError::Refused { .. }) if !tables()?.contains(table) => Ok(None),
        Err(error) => Err(error),
    }
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

/// The comments of a listing's rules.
fn rule_ids(listing: &str) -> Result<BTreeSet<RuleId>, serde_json::Error> {
    let listing: serde_json::Value = serde_json::from_str(listing)?;
    let objects = listing["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
    let comments = objects.iter().filter_map(|object| object["rule"]["comment"].as_str());
    Ok(comments.map(|comment| RuleId(comment.to_owned())).collect())
}

/// The names of all `inet` tables.
fn tables() -> Result<BTreeSet<String>, FirewallError> {
    let listing = nft(&["-j", "list", "tables", "inet"], "")?;
    let listing: serde_json::Value =
        serde_json::from_str(&listing).map_err(FirewallError::Answer)?;
    let objects = listing["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names = objects.iter().filter_map(|object| object["table"]["name"].as_str());
    Ok(names.map(str::to_owned).collect())
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
