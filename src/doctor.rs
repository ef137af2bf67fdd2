//! What this host can do for Windlass, found by looking: programs, devices,
//! file systems, firewalls, room. It changes nothing and mends nothing; each
//! finding that is not well names the command that mends it.

mod host;
mod programs;

use serde::Serialize;

use crate::state::Directories;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `kernel`, `embedded engine`.
    pub subject: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was found.
    pub detail: String,
    /// What mends it.
    pub help: Option<String>,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Well,
    /// Absent, and not needed.
    Absent,
    /// It works, less well than it could.
    Attention,
    /// A default engine cannot be used because of it.
    Broken,
}

impl Finding {
    fn well(subject: &'static str, detail: impl Into<String>) -> Self {
        Self { subject, verdict: Verdict::Well, detail: detail.into(), help: None }
    }

    fn absent(subject: &'static str, detail: impl Into<String>) -> Self {
        Self { subject, verdict: Verdict::Absent, detail: detail.into(), help: None }
    }

    fn attention(subject: &'static str, detail: impl Into<String>, help: &str) -> Self {
        let help = Some(help.to_owned());
        Self { subject, verdict: Verdict::Attention, detail: detail.into(), help }
    }

    fn broken(subject: &'static str, detail: impl Into<String>, help: &str) -> Self {
        let help = Some(help.to_owned());
        Self { subject, verdict: Verdict::Broken, detail: detail.into(), help }
    }
}

/// Looks at everything, what all engines need first.
pub fn examine(directories: &Directories) -> Vec<Finding> {
    let mut findings =
        vec![host::kernel(), host::cgroup(), host::overlayfs(), programs::nftables(), host::tun()];
    findings.extend([
        host::embedded_engine(),
        programs::qemu_engine(directories),
        programs::bootstrap(),
        programs::gitops(),
        host::docker_engine(),
    ]);
    findings.extend(programs::docker_firewall());
    findings.extend(programs::other_firewalls());
    findings.push(host::room(directories));
    findings
}
