//! The world as one value: the engines a stack uses and where state lies. It
//! looks ([`World::observe`]) and hands out engines; it decides nothing.

mod host;

use std::sync::Arc;

use crate::engine::{EngineError, Images, Networks, Volumes, Workloads};
use crate::facts::surroundings::LookAround;
use crate::observed::Observed;
use crate::stack::{Kind, StackName};
use crate::state::{Directories, InstanceRecord, StateError, answers};

pub use host::HostError;

/// Everything through which a stack meets the host.
#[derive(Clone)]
pub struct World {
    /// Where state lies.
    pub directories: Directories,
    /// Identity of this state directory.
    pub home_id: String,
    /// The engine for containers.
    pub containers: Arc<dyn Workloads>,
    /// The engine for VMs.
    pub vms: Arc<dyn Workloads>,
    /// Bridges, names, firewall, ports.
    pub networks: Arc<dyn Networks>,
    /// Named volumes.
    pub volumes: Arc<dyn Volumes>,
    /// Images of both kinds.
    pub images: Arc<dyn Images>,
    /// What else there is on the host.
    pub host: Arc<dyn LookAround>,
}

impl World {
    /// The engine that holds workloads of this kind.
    pub fn workloads(&self, kind: Kind) -> &dyn Workloads {
        match kind {
            Kind::Container => &*self.containers,
            Kind::Vm => &*self.vms,
        }
    }

    /// Everything of the stack that exists, found by looking.
    pub async fn observe(&self, stack: &StackName) -> Result<Observed, EngineError> {
        let records = self.records(stack)?;
        let (containers, vms, networks, firewall, ports, volumes) = tokio::try_join!(
            self.containers.observe(stack, &records),
            self.vms.observe(stack, &records),
            self.networks.observe(stack),
            self.networks.observe_firewall(stack),
            self.networks.observe_ports(stack),
            self.volumes.observe(stack),
        )?;
        let mut observed = Observed { firewall, ..Observed::default() };
        for mut instance in containers.into_iter().chain(vms) {
            instance.forwarded = ports.get(&instance.id).cloned().unwrap_or_default();
            observed.instances.insert(instance.id.clone(), instance);
        }
        observed.networks = networks.into_iter().map(|it| (it.name.clone(), it)).collect();
        observed.answers = answers::read(&self.directories.stack(stack));
        observed.volumes = volumes.into_iter().map(|it| (it.resolved.clone(), it)).collect();
        Ok(observed)
    }

    /// What is recorded of the stack, read once for both engines.
    fn records(&self, stack: &StackName) -> Result<Vec<InstanceRecord>, EngineError> {
        InstanceRecord::of_stack(&self.directories, stack).map_err(|error| {
            let (help, whose) = (error.help(), whose(&error, stack));
            EngineError {
                help,
                ..EngineError::new("state", "look at", whose, (&error).into(), error)
            }
        })
    }
}

/// What an unusable record belongs to.
fn whose(error: &StateError, stack: &StackName) -> String {
    match error {
        // `<workload>/<n>/instance.json`; a container's would have been stood in for.
        StateError::Damaged { path, .. } => {
            let workload = path.iter().rev().nth(2).unwrap_or_default();
            format!("vm {}", workload.display())
        }
        _ => format!("the records of stack {stack}"),
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("directories", &self.directories).finish_non_exhaustive()
    }
}
