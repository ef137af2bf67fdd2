//! Asking a workload whether it works: runs its healthcheck and writes down each
//! answer; the [`Board`] does so for as long as a run lasts. What follows from
//! an answer is not decided here.

pub mod board;

pub mod network;

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

pub use board::{Board, Patient};

use crate::diagnostic::chain;
use crate::engine::{EngineError, ErrorKind, Exec, ExecCommand, Streams};
use crate::observed::{Health, Verdict};
use crate::stack::{Healthcheck, InstanceId, Kind, Probe, StackName};
use crate::state::atomic;
use network::Answer;

/// Name of the file within the instance's directory that holds the last answer.
pub const FILE: &str = "health.json";

/// What is asked, of whom, and who listens.
pub struct Watched<'a> {
    /// The stack.
    pub stack: &'a StackName,
    /// The instance.
    pub id: &'a InstanceId,
    /// VM or container.
    pub kind: Kind,
    /// Its check.
    pub check: &'a Healthcheck,
    /// How commands run inside it.
    pub exec: &'a dyn Exec,
    /// Where the host asks it over the network.
    pub address: Option<Ipv4Addr>,
    /// Where the last answer is kept.
    pub directory: &'a Path,
}

/// Runs the check once.
async fn ask(watched: &Watched<'_>) -> Result<Answer, EngineError> {
    let argv = match &watched.check.test {
        Probe::Exec(argv) => argv.clone(),
        Probe::Shell(line) => vec!["/bin/sh".into(), "-c".into(), line.clone()],
        Probe::Tcp { .. } | Probe::Http { .. } => return Ok(over_the_network(watched).await),
        // What counts was settled before: see `stack::health::effective`.
        Probe::Image | Probe::Disabled => {
            return Ok(Answer { healthy: true, output: String::new() });
        }
    };
    let command = ExecCommand { argv, streams: Streams::Capture, ..ExecCommand::default() };
    let run = watched.exec.exec(watched.stack, watched.id, &command);
    let limit = watched.check.timeout.max(Duration::from_millis(1));
    Ok(match timeout(limit, run).await {
        Ok(Ok(done)) => Answer { healthy: done.code == 0, output: done.output },
        Ok(Err(error)) if error.kind == ErrorKind::NotFound => return Err(error),
        Ok(Err(error)) => Answer { healthy: false, output: chain(&error).join(": ") },
        Err(_) => Answer::late(limit),
    })
}

/// Asks from here, at its address.
async fn over_the_network(watched: &Watched<'_>) -> Answer {
    let Some(address) = watched.address else {
        let output = "it is on no network, so that it cannot be asked".to_owned();
        return Answer { healthy: false, output };
    };
    let limit = watched.check.timeout.max(Duration::from_millis(1));
    let asked = async {
        match &watched.check.test {
            Probe::Http { port, path, status } => {
                network::probe_http((address, *port).into(), path, *status).await
            }
            Probe::Tcp { port } => network::probe_tcp((address, *port).into()).await,
            Probe::Exec(_) | Probe::Shell(_) | Probe::Image | Probe::Disabled => {
                Answer { healthy: true, output: String::new() }
            }
        }
    };
    timeout(limit, asked).await.unwrap_or_else(|_| Answer::late(limit))
}

impl Answer {
    /// What it comes to after the one before, at `at`. In its grace period one that
    /// has never been well is not counted as failing.
    fn after(self, last: Option<&Health>, in_grace: bool, retries: u32, at: i64) -> Health {
        let (before, since) = last.map_or((Verdict::Starting, at), |it| (it.verdict, it.since));
        let failures = match (self.healthy, in_grace && before == Verdict::Starting) {
            (true, _) | (_, true) => 0,
            _ => last.map_or(0, |last| last.failures).saturating_add(1),
        };
        let verdict = match (self.healthy, failures >= retries.max(1)) {
            (true, _) => Verdict::Healthy,
            (false, true) => Verdict::Unhealthy,
            (false, false) => before,
        };
        Health {
            healthy: self.healthy,
            failures,
            output: self.output.chars().take(4096).collect(),
            at,
            verdict,
            since: if verdict == before { since } else { at },
        }
    }
}

/// The last answer of the present run, which another asked for: a start takes away
/// what was said of the run before.
fn recall(directory: &Path) -> Option<Health> {
    serde_json::from_slice(&std::fs::read(directory.join(FILE)).ok()?).ok()
}

/// What was said to another check counts for nothing.
fn forget(directory: &Path) {
    // It may not be there; what is, is replaced by the first answer.
    drop(std::fs::remove_file(directory.join(FILE)));
}

fn record(watched: &Watched<'_>, health: &Health) -> Result<(), EngineError> {
    atomic::write_cache(&watched.directory.join(FILE), health).map_err(|error| {
        let resource = format!("{} {}", watched.kind, watched.id);
        EngineError::new("health", "record the health of", resource, ErrorKind::System, error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(healthy: bool) -> Answer {
        Answer { healthy, output: String::new() }
    }

    #[test]
    fn as_many_failures_as_retries_make_unhealthy_and_one_success_makes_healthy() {
        let mut last: Option<Health> = None;
        let mut verdicts = Vec::new();
        for (at, healthy) in [false, true, false, false, false, true].into_iter().enumerate() {
            let at = i64::try_from(at).expect("small");
            let next = said(healthy).after(last.as_ref(), false, 3, at);
            verdicts.push((next.verdict, next.since));
            last = Some(next);
        }
        let (starting, healthy) = (Verdict::Starting, Verdict::Healthy);
        assert_eq!(
            verdicts,
            [
                (starting, 0),
                (healthy, 1),
                (healthy, 1),
                (healthy, 1),
                (Verdict::Unhealthy, 4),
                (healthy, 5)
            ]
        );
    }

    #[test]
    fn in_its_grace_period_only_one_that_was_well_can_fail() {
        let first = said(false).after(None, true, 1, 0);
        assert_eq!((first.verdict, first.failures), (Verdict::Starting, 0));
        let well = said(true).after(Some(&first), true, 1, 1);
        let then = said(false).after(Some(&well), true, 1, 2);
        assert_eq!((then.verdict, then.failures), (Verdict::Unhealthy, 1));
    }
}
