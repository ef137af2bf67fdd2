//! `instance.json`: what is known of an instance before its disk exists. It is
//! data, not cache: written and fsynced first, removed last.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{StateError, atomic};
use crate::stack::{Definition, ImageSource, InstanceId, Kind, StackName};

/// Version of the file's form.
pub const VERSION: u32 = 1;

/// Name of the file within the instance's directory.
pub const FILE: &str = "instance.json";

/// Everything that must survive about one instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceRecord {
    /// Form of this file.
    pub version: u32,
    /// The stack it belongs to.
    pub stack: StackName,
    /// Which instance.
    pub id: InstanceId,
    /// VM or container.
    pub kind: Kind,
    /// What it was made from, as the file named it.
    pub image: ImageSource,
    /// The digest that was pinned when it was made.
    pub image_digest: String,
    /// Addresses by the file's name of the network.
    pub addresses: BTreeMap<String, Ipv4Addr>,
    /// Hardware addresses by the file's name of the network.
    pub macs: BTreeMap<String, String>,
    /// The definition it was made or last updated from.
    pub definition: Definition,
    /// Seconds since the epoch.
    pub created: i64,
    /// Whether making it was finished: the disk or the layers are whole.
    pub complete: bool,
    /// Whether it has ever been ready (VM) or started (container).
    pub ever_ready: bool,
    /// Whether the user stopped it by hand.
    pub held: bool,
    /// VMs: what only they have.
    pub vm: Option<VmRecord>,
}

/// What must survive about a VM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VmRecord {
    /// cloud-init's instance-id, minted with the disk.
    pub instance_id: String,
    /// QEMU's versioned machine type, pinned.
    pub machine: String,
    /// Login of the image's default user.
    pub user: String,
    /// Our private key for the guest, OpenSSH format.
    pub ssh_private_key: String,
    /// Our public key.
    pub ssh_public_key: String,
    /// Host keys as the guest last reported them.
    pub host_keys: Vec<String>,
    /// The digests of what cloud-init was last given.
    pub cloud_init: BTreeMap<String, String>,
}

impl InstanceRecord {
    /// Reads the record in `directory`; `None` where there is none.
    pub fn read(directory: &Path) -> Result<Option<Self>, StateError> {
        atomic::read_versioned(&directory.join(FILE), VERSION)
    }

    /// The same, with a stand-in for a container's record that is damaged: what
    /// its path says, and no definition. A VM's record belongs to a disk and
    /// is never made up.
    pub fn read_or_stand_in(directory: &Path) -> Result<Option<Self>, StateError> {
        match Self::read(directory) {
            Err(StateError::Damaged { path, source }) => {
                Self::stand_in(directory).map(Some).ok_or(StateError::Damaged { path, source })
            }
            read => read,
        }
    }

    /// Whether it is one: no definition is empty. It is never written, so that
    /// the next `up` sees what it has before it.
    pub fn is_stand_in(&self) -> bool {
        self.definition.0.is_empty()
    }

    /// From `stacks/<stack>/<workload>/<n>`, where the layers of a container lie.
    fn stand_in(directory: &Path) -> Option<Self> {
        let name = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
        let workload = directory.parent()?;
        let id = InstanceId {
            number: name(directory)?.parse().ok()?,
            ..InstanceId::single(&name(workload)?)
        };
        directory.join("upper").is_dir().then_some(())?;
        Some(Self {
            version: VERSION,
            stack: StackName::new(&name(workload.parent()?)?)?,
            id,
            kind: Kind::Container,
            image: ImageSource::Reference("unknown".to_owned()),
            image_digest: String::new(),
            addresses: BTreeMap::new(),
            macs: BTreeMap::new(),
            definition: Definition::default(),
            created: 0,
            complete: true,
            ever_ready: true,
            held: false,
            vm: None,
        })
    }

    /// Replaces the record in `directory`, durably.
    pub fn write(&self, directory: &Path) -> Result<(), StateError> {
        atomic::write(&directory.join(FILE), self)
    }
}
