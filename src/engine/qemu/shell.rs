//! Commands in a VM: over ssh, with what its record says.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use super::Qemu;
use super::boot::Boot;
use super::error::{QemuError, about};
use crate::engine::{Exec, ExecCommand, ExecOutput, Files, Result};
use crate::guest::command::remote;
use crate::guest::ssh::{Connection, Target};
use crate::guest::{GuestError, mirror, readiness};
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

#[async_trait]
impl Files for Qemu {
    async fn mirror(
        &self,
        stack: &StackName,
        id: &InstanceId,
        pairs: &BTreeMap<String, PathBuf>,
    ) -> Result<()> {
        self.send_inside(stack, id, pairs).await.map_err(about("write files into", id))
    }
}

impl Qemu {
    async fn run_inside(
        &self,
        stack: &StackName,
        id: &InstanceId,
        command: &ExecCommand,
    ) -> Result<ExecOutput, QemuError> {
        let own = self.record(stack, id)?.vm.ok_or(QemuError::NotAVm)?;
        let remote = remote(command, &own.user);
        let connection = self.connected(stack, id, &remote.user).await?;
        Ok(connection.run(&remote, command.tty, command.streams).await?)
    }

    async fn send_inside(
        &self,
        stack: &StackName,
        id: &InstanceId,
        pairs: &BTreeMap<String, PathBuf>,
    ) -> Result<(), QemuError> {
        let pairs = pairs.clone();
        let packed = tokio::task::spawn_blocking(move || mirror::pack(&pairs)).await?;
        let parcels = packed.map_err(GuestError::io("read", "the files for it"))?;
        let connection = self.connected(stack, id, "root").await?;
        for parcel in parcels {
            let output = connection.feed(&parcel.line, parcel.archive).await?;
            if output.code != 0 {
                let said = output.output.trim_end().to_owned();
                return Err(QemuError::Program { program: "the guest's shell".into(), said });
            }
        }
        Ok(())
    }

    /// A connection to the guest as it runs now, as `user`.
    async fn connected(
        &self,
        stack: &StackName,
        id: &InstanceId,
        user: &str,
    ) -> Result<Arc<Connection>, QemuError> {
        let place = self.place(stack, id);
        let record = self.record(stack, id)?;
        if !place.is_alive() {
            return Err(QemuError::NotRunning);
        }
        let boot = Boot::read(&place.run).ok_or(QemuError::NotRunning)?;
        let own = record.vm.as_ref().ok_or(QemuError::NotAVm)?;
        let word = readiness::look(&place.ready(), &boot.nonce)?;
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
            user: user.to_owned(),
        };
        Ok(self.connection(login, &target).await?)
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
