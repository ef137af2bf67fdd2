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
use crate::observed::Health;
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
    /// With `failures` in a row, if it is one.
    fn counted(self, failures: u32) -> Health {
        Health {
            healthy: self.healthy,
            failures: if self.healthy { 0 } else { failures },
            output: self.output.chars().take(4096).collect(),
            at: jiff::Timestamp::now().as_second(),
        }
    }
}

fn record(watched: &Watched<'_>, health: &Health) -> Result<(), EngineError> {
    atomic::write_cache(&watched.directory.join(FILE), health).map_err(|error| {
        let resource = format!("{} {}", watched.kind, watched.id);
        EngineError::new("health", "record the health of", resource, ErrorKind::System, error)
    })
}
