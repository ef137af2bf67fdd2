//! Commands in a VM: over ssh, with what its record says.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;

use super::Qemu;
use super::boot::Boot;
use super::error::{QemuError, about};
use crate::engine::{Exec, ExecCommand, ExecOutput, Result};
use crate::guest::command::remote;
use crate::guest::ssh::{Connection, Target};
use crate::guest::{GuestError, readiness};
use crate::stack::{InstanceId, StackName};

/// Which VM, in which run, as whom.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Login {
    stack: StackName,
    id: InstanceId,
    nonce: String,
    user: String,
}

#[async_trait]
impl Exec for Qemu {
    async fn exec(
        &self,
        stack: &StackName,
        id: &InstanceId,
        command: &ExecCommand,
    ) -> Result<ExecOutput> {
        self.run_inside(stack, id, command).await.map_err(about("run a command in", id))
    }
}

impl Qemu {
    async fn run_inside(
        &self,
        stack: &StackName,
        id: &InstanceId,
        command: &ExecCommand,
    ) -> Result<ExecOutput, QemuError> {
        let place = self.place(stack, id);
        let record = self.record(stack, id)?;
        if !place.is_alive() {
            return Err(QemuError::NotRunning);
        }
        let boot = Boot::read(&place.run).ok_or(QemuError::NotRunning)?;
        let own = record.vm.as_ref().ok_or(QemuError::NotAVm)?;
        let word = readiness::look(&place.ready(), &boot.nonce)?;
        let remote = remote(command, &own.user);
        let address = record.addresses.values().next().ok_or(GuestError::NoAddress)?;
        let target = Target {
            address: IpAddr::V4(*address),
            private_key: own.ssh_private_key.clone(),
            host_keys: word.map_or_else(|| own.host_keys.clone(), |word| word.host_keys),
        };
        let login = Login {
            stack: stack.clone(),
            id: id.clone(),
            nonce: boot.nonce,
            user: remote.user.clone(),
        };
        let connection = self.connection(login, &target).await?;
        Ok(connection.run(&remote, command.tty, command.streams).await?)
    }

    /// An open connection, or a new one. Two that race make one each: no lock is
    /// held while a guest is waited for.
    async fn connection(
        &self,
        login: Login,
        target: &Target,
    ) -> Result<Arc<Connection>, GuestError> {
        let known = self.connections.lock().await.get(&login).cloned();
        if let Some(open) = known.filter(|connection| !connection.is_closed()) {
            return Ok(open);
        }
        let opened = Arc::new(Connection::open(target, &login.user).await?);
        let mut connections = self.connections.lock().await;
        connections.retain(|_, connection| !connection.is_closed());
        connections.insert(login, Arc::clone(&opened));
        Ok(opened)
    }
}
