//! Looking at VMs: records, processes, the guest's last word. QEMU is asked only
//! whether it has stopped the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use serde_json::Value;

use super::boot::Boot;
use super::error::QemuError;
use super::place::Place;
use super::qmp::Qmp;
use super::{Qemu, ready, shares};
use crate::guest::readiness;
use crate::observed::{DiskUse, Exit, Health, ObservedInstance, Readiness, Restarts, State};
use crate::shim::look::{exit_record, look_again_at_its_end};
use crate::shim::{self, Alive};
use crate::stack::Kind;
use crate::state::{InstanceRecord, atomic};

/// How long QEMU may take to say whether the machine runs.
const PATIENCE: Duration = Duration::from_secs(2);

impl Qemu {
    pub(super) async fn look_at(
        &self,
        record: InstanceRecord,
    ) -> Result<ObservedInstance, QemuError> {
        let place = self.place(&record.stack, &record.id);
        let alive = look_again_at_its_end(&place.run).filter(|alive| alive.process);
        let boot = Boot::read(&place.run);
        let (state, since) = match &alive {
            Some(alive) => (life(&place, alive, boot.as_ref()).await, alive.status.started),
            None => rest(&place, &record)?,
        };
        let present = boot.filter(|_| alive.is_some());
        let ready = match &present {
            Some(boot) => ready::readiness_of(&place, boot)?,
            None => Readiness::Waiting,
        };
        let said_once = readiness::last(&place.ready())?;
        Ok(ObservedInstance {
            kind: Kind::Vm,
            definition: record.definition,
            image: record.image,
            image_digest: record.image_digest,
            addresses: record.addresses,
            state,
            minded: alive.as_ref().is_none_or(|alive| alive.shim)
                && shares_minded(&place, present.as_ref()),
            held: record.held,
            ever_ready: record.ever_ready
                || ready == Readiness::Ready
                || said_once.is_some_and(|word| word.errors.is_empty()),
            ready_since: said_at(&place).filter(|_| ready != Readiness::Waiting),
            ready,
            health: health(&place, alive.as_ref()),
            image_check: None,
            drift: BTreeMap::new(),
            forwarded: BTreeSet::new(),
            since,
            emulated: present.and_then(|boot| boot.emulated),
            disk: disk_use(&place, record.created),
            restarts: atomic::read_cache(&place.data.join(Restarts::FILE), Restarts::VERSION),
            id: record.id,
        })
    }
}

/// When the guest last said something: the file only grows.
fn said_at(place: &Place) -> Option<i64> {
    Some(place.ready().metadata().ok()?.mtime())
}

/// What the root disk takes on the host; a sparse file's holes do not count.
fn disk_use(place: &Place, since: i64) -> Option<DiskUse> {
    let bytes = place.disk().metadata().ok()?.blocks() * 512;
    Some(DiskUse { bytes, since })
}

/// What a VM with a process does.
async fn life(place: &Place, alive: &Alive, boot: Option<&Boot>) -> State {
    let pid = alive.status.pid;
    if alive.paused {
        return State::Paused { pid };
    }
    let dead = boot.map(|boot| shares::dead(place, &boot.shares)).unwrap_or_default();
    if !dead.is_empty() {
        let reason = format!("what serves {} has died", dead.join(", "));
        return State::Degraded { pid, reason };
    }
    let status =
        async { Qmp::connect(&place.qmp()).await?.execute("query-status", Value::Null).await };
    match tokio::time::timeout(PATIENCE, status).await {
        Ok(Ok(status)) => said(status["status"].as_str().unwrap_or_default(), pid),
        Ok(Err(error)) => State::Degraded { pid, reason: error.to_string() },
        Err(_) => State::Degraded { pid, reason: "QEMU does not answer".to_owned() },
    }
}

/// What QEMU's word for the machine's state means.
fn said(status: &str, pid: i32) -> State {
    match status {
        // QEMU stops a machine whose disk the host has no room for, in the middle of
        // the write: continued, it writes on and has lost nothing.
        "paused" | "io-error" => State::Paused { pid },
        "internal-error" | "guest-panicked" => {
            State::Degraded { pid, reason: format!("QEMU says \"{status}\"") }
        }
        _ => State::Running { pid },
    }
}

/// What a VM without a process is, and since when.
fn rest(place: &Place, record: &InstanceRecord) -> Result<(State, i64), QemuError> {
    if !record.complete || !place.disk().exists() {
        return Ok((State::HalfMade, record.created));
    }
    if let Some(exit) = exit_record(&place.exit())? {
        let at = exit.exit.at;
        return Ok((State::Exited(exit.exit), at));
    }
    // QEMU writes there from its first moment on.
    if let Ok(meta) = place.console().metadata() {
        let at = meta.mtime();
        return Ok((State::Exited(Exit { code: None, out_of_memory: false, at }), at));
    }
    Ok((State::Created, record.created))
}

fn shares_minded(place: &Place, boot: Option<&Boot>) -> bool {
    let count = boot.map_or(0, |boot| boot.shares.len());
    (0..count).all(|number| {
        shim::look(&place.share(number)).is_none_or(|alive| alive.shim || !alive.process)
    })
}

/// The last answer, if it is about the present run.
fn health(place: &Place, alive: Option<&Alive>) -> Option<Health> {
    let bytes = std::fs::read(place.health()).ok()?;
    let health: Health = serde_json::from_slice(&bytes).ok()?;
    (health.at >= alive?.status.started).then_some(health)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_room_to_write_is_continued_and_never_restarted() {
        assert_eq!(said("io-error", 7), State::Paused { pid: 7 });
        assert_eq!(said("paused", 7), State::Paused { pid: 7 });
        assert!(matches!(said("guest-panicked", 7), State::Degraded { pid: 7, .. }));
        assert_eq!(said("running", 7), State::Running { pid: 7 });
    }
}
