//! What containers of a stack there are and what they do, by looking at
//! records, `/proc` and cgroups. Fast: it is done before every plan.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Home;
use super::error::EmbeddedError;
use crate::observed::{Exit, Health, ObservedInstance, Readiness, Restarts, State};
use crate::shim::cgroup::Hierarchies;
use crate::shim::look::{exit_record, look_again_at_its_end};
use crate::shim::{Alive, Cgroup};
use crate::stack::{Healthcheck, InstanceId, Kind, StackName};
use crate::state::{InstanceRecord, StateError, atomic};

/// Limits of the present run, in the run directory.
const LIMITS_FILE: &str = "limits.json";

/// Memory limits are whole pages.
const PAGE: u64 = 4096;

/// Every container among these.
pub(super) fn observe(
    home: &Home,
    records: Vec<InstanceRecord>,
) -> Result<Vec<ObservedInstance>, EmbeddedError> {
    let hierarchies = Hierarchies::find().map_err(StateError::io("look at", "/sys/fs/cgroup"))?;
    let mut checks = BTreeMap::new();
    let mut found = Vec::new();
    for record in records {
        let check = checks
            .entry(record.image_digest.clone())
            .or_insert_with(|| check_of(home, &record.image_digest))
            .clone();
        let instance = instance(home, &hierarchies, record)?;
        found.push(ObservedInstance { image_check: check, ..instance });
    }
    Ok(found)
}

/// The healthcheck of the image that a container was made from.
pub(super) fn image_check(
    home: &Home,
    stack: &StackName,
    id: &InstanceId,
) -> Result<Option<Healthcheck>, EmbeddedError> {
    let directory = home.directories.instance(stack, id);
    let record = InstanceRecord::read(&directory)?.ok_or(EmbeddedError::NotFound)?;
    Ok(check_of(home, &record.image_digest))
}

/// An image that is not in the store any more has no word about health: what
/// was made from it goes on without.
fn check_of(home: &Home, digest: &str) -> Option<Healthcheck> {
    match home.images.container(digest) {
        Ok(image) => image.healthcheck,
        Err(error) => {
            tracing::debug!(%error, digest, "no healthcheck of the image");
            None
        }
    }
}

fn instance(
    home: &Home,
    hierarchies: &Hierarchies,
    record: InstanceRecord,
) -> Result<ObservedInstance, EmbeddedError> {
    let directory = &home.directories.instance(&record.stack, &record.id);
    let run = home.directories.instance_run(&record.stack, &record.id);
    let alive = look_again_at_its_end(&run).filter(|alive| alive.process);
    let exit = exit_record(&directory.join("exit.json"))?.map(|record| record.exit);
    let since = match (&alive, &exit) {
        (Some(alive), _) => alive.status.started,
        (None, Some(exit)) => exit.at,
        (None, None) => record.created,
    };
    let state = state(&record, alive.as_ref(), exit);
    let running = alive.is_some();
    let drift = if running {
        drift(&hierarchies.limits(&home.cgroup(&record.stack, &record.id)), applied(&run))
    } else {
        BTreeMap::new()
    };
    Ok(ObservedInstance {
        kind: Kind::Container,
        definition: record.definition,
        image: record.image,
        image_digest: record.image_digest,
        addresses: record.addresses,
        state,
        minded: alive.is_some_and(|alive| alive.shim),
        held: record.held,
        ever_ready: record.ever_ready,
        ready: if running { Readiness::Ready } else { Readiness::Waiting },
        ready_since: None,
        health: if running { health(directory, since) } else { None },
        image_check: None,
        drift,
        forwarded: BTreeSet::new(),
        since,
        emulated: None,
        disk: None,
        restarts: atomic::read_cache(&directory.join(Restarts::FILE), Restarts::VERSION),
        id: record.id,
    })
}

fn state(record: &InstanceRecord, alive: Option<&Alive>, exit: Option<Exit>) -> State {
    if !record.complete {
        return State::HalfMade;
    }
    let Some(alive) = alive else {
        let unseen = || Exit { code: None, out_of_memory: false, at: record.created };
        return match exit {
            Some(exit) => State::Exited(exit),
            // It was started, and nobody saw its end: the host went down.
            None if record.ever_ready => State::Exited(unseen()),
            None => State::Created,
        };
    };
    let pid = alive.status.pid;
    if alive.paused {
        return State::Paused { pid };
    }
    match missing_interface(pid, record.addresses.len()) {
        Some(reason) => State::Degraded { pid, reason },
        None => State::Running { pid },
    }
}

/// A container whose pair was deleted on the host has lost its own end too.
fn missing_interface(pid: i32, wanted: usize) -> Option<String> {
    if wanted == 0 {
        return None;
    }
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).ok()?;
    let has = |name: &str| {
        text.lines()
            .any(|line| line.trim_start().strip_prefix(name).is_some_and(|r| r.starts_with(':')))
    };
    let missing = (0..wanted).map(|number| format!("eth{number}")).find(|name| !has(name))?;
    Some(format!("its interface {missing} is gone"))
}

/// Limits that somebody changed behind our back, as the file would have them.
fn drift(in_force: &Cgroup, applied: Option<Cgroup>) -> BTreeMap<String, String> {
    let mut drift = BTreeMap::new();
    let Some(applied) = applied else { return drift };
    let whole = |bytes: Option<u64>| bytes.map(|bytes| bytes / PAGE * PAGE);
    let none = || "none".to_owned();
    if whole(in_force.memory) != whole(applied.memory) {
        drift.insert("mem_limit".to_owned(), in_force.memory.map_or_else(none, bytes));
    }
    if in_force.milli_cpus != applied.milli_cpus {
        drift.insert("cpus".to_owned(), in_force.milli_cpus.map_or_else(none, cpus));
    }
    let pids = |limit: Option<i64>| limit.filter(|limit| *limit > 0);
    if pids(in_force.pids) != pids(applied.pids) {
        let value = in_force.pids.map_or_else(none, |pids| pids.to_string());
        drift.insert("pids_limit".to_owned(), value);
    }
    drift
}

fn bytes(bytes: u64) -> String {
    for (size, unit) in [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes >= size && bytes.is_multiple_of(size) {
            return format!("{}{unit}", bytes / size);
        }
    }
    bytes.to_string()
}

fn cpus(thousandths: u64) -> String {
    let text = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The last health result, if it belongs to the present run.
fn health(directory: &Path, since: i64) -> Option<Health> {
    let bytes = std::fs::read(directory.join("health.json")).ok()?;
    let health: Health = serde_json::from_slice(&bytes).ok()?;
    (health.at >= since).then_some(health)
}

/// The limits that were last set for the present run.
fn applied(run: &Path) -> Option<Cgroup> {
    let bytes = std::fs::read(run.join(LIMITS_FILE)).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Notes which limits were set.
pub(super) fn note_limits(run: &Path, limits: &Cgroup) -> Result<(), EmbeddedError> {
    Ok(atomic::write_cache(&run.join(LIMITS_FILE), limits)?)
}
