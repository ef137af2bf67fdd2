//! The host's networks, as the engine trait has them: each call is handed to a
//! thread that may block, so that one does not hold up the others. Threads
//! inherit the network namespace of whoever runs the runtime. It does nothing
//! itself; what is done is in [`work`].

mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::spawn_blocking;

use super::ruleset::{RuleId, Ruleset};
use super::zone::Zone;
use super::{NetworkPlan, changes, name_server};
use crate::engine::{EngineError, ErrorKind, Networks, Result};
use crate::observed::ObservedNetwork;
use crate::plan::Forward;
use crate::shim::Launcher;
use crate::stack::{InstanceId, Port, StackName};
use crate::state::Directories;
use work::Host;

/// Networks of this host, in the network namespace of the caller.
#[derive(Debug)]
pub struct HostNetworks(Arc<Host>);

impl HostNetworks {
    /// For one state directory.
    pub fn new(
        directories: Directories,
        home_id: impl Into<String>,
        launcher: impl Into<Arc<Launcher>>,
    ) -> Self {
        let resolvers = name_server::host_resolvers().to_owned();
        let (home_id, launcher) = (home_id.into(), launcher.into());
        Self(Arc::new(Host { directories, home_id, launcher, resolvers }))
    }

    /// Name servers pass questions on to the resolvers listed in this file
    /// instead of `/etc/resolv.conf`.
    #[must_use]
    pub fn with_resolvers(mut self, path: impl Into<PathBuf>) -> Self {
        Arc::make_mut(&mut self.0).resolvers = path.into();
        self
    }

    /// Runs blocking work on a thread for it.
    async fn block<T, F>(&self, stack: &StackName, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Host, &StackName) -> Result<T> + Send + 'static,
    {
        let (host, of_stack) = (Arc::clone(&self.0), stack.clone());
        let done = spawn_blocking(move || work(&host, &of_stack)).await;
        done.unwrap_or_else(|error| {
            let resource = format!("the networks of {stack}");
            Err(EngineError::new("network", "work on", resource, ErrorKind::System, error))
        })
    }
}

#[async_trait]
impl Networks for HostNetworks {
    async fn observe(&self, stack: &StackName) -> Result<Vec<ObservedNetwork>> {
        self.block(stack, Host::observe).await
    }

    async fn observe_firewall(&self, stack: &StackName) -> Result<Option<BTreeSet<RuleId>>> {
        self.block(stack, Host::observe_firewall).await
    }

    async fn observe_ports(
        &self,
        stack: &StackName,
    ) -> Result<BTreeMap<InstanceId, BTreeSet<Port>>> {
        self.block(stack, |host, stack| Ok(host.observe_ports(stack))).await
    }

    async fn create(&self, stack: &StackName, network: &NetworkPlan) -> Result<()> {
        let network = network.clone();
        self.block(stack, move |_, stack| Host::create(stack, &network)).await
    }

    async fn remove(&self, stack: &StackName, network: &NetworkPlan) -> Result<()> {
        let network = network.clone();
        self.block(stack, move |host, stack| host.remove(stack, &network)).await
    }

    async fn serve_names(
        &self,
        stack: &StackName,
        network: &NetworkPlan,
        zone: &Zone,
    ) -> Result<()> {
        let (network, zone) = (network.clone(), zone.clone());
        self.block(stack, move |host, stack| host.serve_names(stack, &network, &zone)).await
    }

    async fn apply_firewall(&self, stack: &StackName, ruleset: &Ruleset) -> Result<()> {
        let ruleset = ruleset.clone();
        self.block(stack, move |host, stack| host.apply_firewall(stack, &ruleset)).await
    }

    async fn remove_firewall(&self, stack: &StackName) -> Result<()> {
        self.block(stack, Host::remove_firewall).await
    }

    async fn open_ports(
        &self,
        stack: &StackName,
        id: &InstanceId,
        forwards: &[Forward],
    ) -> Result<()> {
        let (id, forwards) = (id.clone(), forwards.to_vec());
        self.block(stack, move |host, stack| host.open_ports(stack, &id, &forwards)).await
    }

    async fn close_ports(&self, stack: &StackName, id: &InstanceId) -> Result<()> {
        let id = id.clone();
        self.block(stack, move |host, stack| host.close_ports(stack, &id)).await
    }

    async fn changed(&self, stack: &StackName) -> Result<()> {
        let watched = self.0.watched(stack);
        changes::changed(&watched).await.map_err(|error| {
            let resource = format!("the networks of {stack}");
            EngineError::new("network", "hear of changes to", resource, ErrorKind::System, error)
        })
    }
}
