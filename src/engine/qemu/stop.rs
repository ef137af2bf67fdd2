//! Ending a VM: asked through ACPI, then killed; thawing it; minding it again.

use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value;

use super::boot::Boot;
use super::error::QemuError;
use super::place::Place;
use super::qmp::Qmp;
use super::{Qemu, shares};
use crate::shim::{self, Alive, Cgroup, Payload, Request, ShimSpec, Status, process};
use crate::stack::{InstanceId, StackName};
use crate::state::{StateError, names};

/// How long QMP may take to answer: QEMU itself hangs, not its guest.
const PATIENCE: Duration = Duration::from_secs(3);

impl Qemu {
    pub(super) async fn power_down(
        &self,
        stack: &StackName,
        id: &InstanceId,
        grace: Option<Duration>,
        held: bool,
    ) -> Result<(), QemuError> {
        if held {
            self.amend(stack, id, |record| record.held = true)?;
        }
        let place = self.place(stack, id);
        let Some(alive) = running(&place) else { return shares::end(&place, false).await };
        let own = Boot::read(&place.run).map(|boot| boot.grace);
        let grace = grace.or(own).unwrap_or_default();
        let stopping = async {
            // A machine that does not listen is killed all the same.
            if press_power_button(&place).await.is_ok() {
                drop(shim::ended(&place.run, &place.exit()).await);
            } else {
                std::future::pending::<()>().await;
            }
        };
        if grace.is_zero() || tokio::time::timeout(grace, stopping).await.is_err() {
            kill_process(&alive.status)?;
        }
        shim::ended(&place.run, &place.exit()).await?;
        shares::end(&place, true).await
    }

    pub(super) async fn signal(
        &self,
        stack: &StackName,
        id: &InstanceId,
        signal: i32,
    ) -> Result<(), QemuError> {
        if !matches!(signal, libc::SIGKILL | libc::SIGTERM) {
            return Err(QemuError::Signal(signal));
        }
        let place = self.place(stack, id);
        let alive = running(&place).ok_or(QemuError::NotRunning)?;
        self.amend(stack, id, |record| record.held = true)?;
        if signal == libc::SIGTERM {
            return press_power_button(&place).await;
        }
        kill_process(&alive.status)?;
        shim::ended(&place.run, &place.exit()).await?;
        shares::end(&place, true).await
    }

    /// Ends it without asking.
    pub(super) async fn end_now(
        &self,
        stack: &StackName,
        id: &InstanceId,
    ) -> Result<(), QemuError> {
        let place = self.place(stack, id);
        if let Some(alive) = running(&place) {
            kill_process(&alive.status)?;
            shim::ended(&place.run, &place.exit()).await?;
        }
        shares::end(&place, false).await
    }

    pub(super) async fn thaw(&self, stack: &StackName, id: &InstanceId) -> Result<(), QemuError> {
        let place = self.place(stack, id);
        let alive = running(&place).ok_or(QemuError::NotRunning)?;
        if alive.paused {
            let run = place.run.clone();
            tokio::task::spawn_blocking(move || shim::request(&run, &Request::Resume)).await??;
        }
        say(&place, "cont").await?;
        self.amend(stack, id, |record| record.held = false)
    }

    /// New shims for QEMU and each virtiofsd that lost theirs.
    pub(super) async fn mind_again(
        &self,
        stack: &StackName,
        id: &InstanceId,
    ) -> Result<(), QemuError> {
        let place = self.place(stack, id);
        let alive = running(&place).ok_or(QemuError::NotRunning)?;
        let shares = Boot::read(&place.run).map_or(0, |boot| boot.shares.len());
        let mut specs: Vec<ShimSpec> =
            (0..shares).filter_map(|number| shares::adopted(self, stack, id, number)).collect();
        if !alive.shim {
            specs.push(self.adopted(stack, id, &place, &alive));
        }
        for spec in specs {
            let launcher = std::sync::Arc::clone(&self.launcher);
            tokio::task::spawn_blocking(move || launcher.launch(&spec)).await??;
        }
        Ok(())
    }

    fn adopted(
        &self,
        stack: &StackName,
        id: &InstanceId,
        place: &Place,
        alive: &Alive,
    ) -> ShimSpec {
        let path = names::cgroup(&self.home_id, stack, id);
        ShimSpec {
            version: shim::VERSION,
            label: format!("vm {stack}/{id}"),
            run_directory: place.run.clone(),
            log_directory: Some(place.log()),
            exit_file: place.exit(),
            cgroup: Some(Cgroup { path, ..Cgroup::default() }),
            interfaces: Vec::new(),
            payload: Payload::Adopted {
                pid: alive.status.pid,
                start_time: alive.status.start_time,
                follow: Some(place.console()),
            },
        }
    }
}

fn running(place: &Place) -> Option<Alive> {
    shim::look(&place.run).filter(|alive| alive.process)
}

async fn press_power_button(place: &Place) -> Result<(), QemuError> {
    // A paused machine hears nothing.
    say(place, "cont").await?;
    say(place, "system_powerdown").await
}

async fn say(place: &Place, command: &str) -> Result<(), QemuError> {
    let said = async {
        let mut qmp = Qmp::connect(&place.qmp()).await?;
        qmp.execute(command, Value::Null).await
    };
    match tokio::time::timeout(PATIENCE, said).await {
        Ok(said) => Ok(said.map(drop)?),
        Err(_) => Err(super::qmp::QmpError::HungUp.into()),
    }
}

/// Kills this very process, never one that got its number later.
pub(super) fn kill_process(status: &Status) -> Result<(), QemuError> {
    let failed = |error: std::io::Error| {
        QemuError::from(StateError::io("kill", format!("/proc/{}", status.pid))(error))
    };
    let Some(pid) = Pid::from_raw(status.pid) else { return Ok(()) };
    let descriptor = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(descriptor) => descriptor,
        Err(error) if process::is_nobody(error) => return Ok(()),
        Err(error) => return Err(failed(error.into())),
    };
    if !process::is_same(status.pid, status.start_time, &status.boot_id) {
        return Ok(());
    }
    match pidfd_send_signal(descriptor, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(failed(error.into())),
    }
}
