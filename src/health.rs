//! Asking a workload whether it works: runs its healthcheck until it passes or
//! has failed too often, and writes down each answer. What follows from an
//! answer is not decided here.

pub mod network;

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use crate::engine::{EngineError, ErrorKind, Exec, ExecCommand, Streams, error::Reason};
use crate::event::{Events, What};
use crate::observed::Health;
use crate::plan::Resource;
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

/// Returns when a check has passed; fails when it has failed `retries` times in
/// a row after the start period.
pub async fn until_healthy(watched: &Watched<'_>, events: &Events) -> Result<(), EngineError> {
    let check = watched.check;
    let started = Instant::now();
    let grace_ends = started + check.start_period;
    let mut failures = 0;
    let mut tries = 0_u32;
    loop {
        tries += 1;
        let answer = ask(watched).await?;
        let in_grace = Instant::now() < grace_ends;
        failures = if answer.healthy || in_grace { 0 } else { failures + 1 };
        record(watched, &answer, failures)?;
        if answer.healthy {
            return Ok(());
        }
        if failures >= check.retries.max(1) {
            return Err(unhealthy(watched, &answer, failures));
        }
        let said = answer.output.lines().last().unwrap_or("no output").trim().to_owned();
        let text = format!("waiting to be healthy ({said}, {} try)", ordinal(tries));
        events.send(
            Resource::Instance(watched.kind, watched.id.clone()),
            What::Running { doing: text },
        );
        let pause = if in_grace { check.start_interval } else { check.interval };
        sleep_until(Instant::now() + pause).await;
    }
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
        Ok(Err(error)) => Answer { healthy: false, output: chain(&error) },
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

fn record(watched: &Watched<'_>, answer: &Answer, failures: u32) -> Result<(), EngineError> {
    let health = Health {
        healthy: answer.healthy,
        failures,
        output: answer.output.chars().take(4096).collect(),
        at: jiff::Timestamp::now().as_second(),
    };
    atomic::write_cache(&watched.directory.join(FILE), &health).map_err(|error| {
        let resource = format!("{} {}", watched.kind, watched.id);
        EngineError::new("health", "record the health of", resource, ErrorKind::System, error)
    })
}

fn unhealthy(watched: &Watched<'_>, answer: &Answer, failures: u32) -> EngineError {
    let said = answer.output.trim();
    let said = if said.is_empty() { "it said nothing" } else { said };
    EngineError::new(
        "health",
        "bring up",
        format!("{} {}", watched.kind, watched.id),
        ErrorKind::Failed,
        Reason(format!("its healthcheck failed {failures} times in a row: {said}")),
    )
    .with_help(format!(
        "`windlass logs {id}` shows what it says; `windlass exec {id} …` runs the check by hand",
        id = watched.id
    ))
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// `1st`, `2nd`, `3rd`, `4th` …
fn ordinal(number: u32) -> String {
    let suffix = match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{number}{suffix}")
}
