//! What a VM's cloud-init is given, as text: a function of what the file says
//! and of what the plan chose. It never reads a file and never reaches a guest;
//! [`crate::engine::qemu`] puts the result on a disk.
//!
//! The user's documents stay as they are, byte for byte. Ours is vendor-data of
//! type `text/cloud-boothook`, which cloud-init runs at every boot whatever the
//! instance-id: it copies `windlass/` from the seed to `/run/windlass` and runs
//! [`GUEST_SCRIPT`] there. Nothing of ours is a key that user-data could replace.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod blame;
pub mod check;
mod documents;
mod failure;
mod instance;
mod multipart;
mod network_config;
mod quote;
mod ssh;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

pub use failure::Failure;
pub(crate) use failure::without_escapes;
pub use instance::{GuestDisk, GuestFile, GuestMount, GuestTmpfs};
pub use quote::quote;

use crate::plan::Desired;
use crate::stack::CloudInit;

/// The label by which cloud-init and the boothook find the seed.
pub const LABEL: &str = "CIDATA";

/// Name of the virtio-serial port on which the guest says that it is ready.
pub const READY_PORT: &str = "windlass.ready";

/// What runs in the guest: `early` from the boothook, `ready` after cloud-final.
pub const GUEST_SCRIPT: &str = include_str!("cloud_init/guest.sh");

/// Everything the seed is made from.
#[derive(Debug, Clone)]
pub struct Guest<'a> {
    /// The instance as it shall be.
    pub desired: &'a Desired,
    /// The user's documents.
    pub cloud_init: &'a CloudInit,
    /// Minted with the disk; a new one has cloud-init run again.
    pub instance_id: &'a str,
    /// Names this boot: the guest's word about another one does not count.
    pub nonce: &'a str,
    /// Our key.
    pub ssh_public_key: &'a str,
    /// Login of the image's default user.
    pub user: &'a str,
    /// Shared directories and files.
    pub mounts: Vec<GuestMount>,
    /// File systems in the guest's memory.
    pub tmpfs: Vec<GuestTmpfs>,
    /// Disk volumes.
    pub disks: Vec<GuestDisk>,
    /// Secrets and configs.
    pub files: Vec<GuestFile>,
}

/// The files of the seed by path; directories are made as needed.
pub type Seed = BTreeMap<String, Vec<u8>>;

/// What the seed holds.
pub fn seed(guest: &Guest<'_>) -> Seed {
    let config = guest.cloud_init;
    let network_config = config.network_config.as_ref().map_or_else(
        || network_config::text(&guest.desired.addresses, &guest.desired.search_domain),
        |document| document.body.clone(),
    );
    let gateways: Vec<Ipv4Addr> =
        guest.desired.addresses.iter().map(|address| address.gateway).collect();
    let mut seed = Seed::from([
        ("meta-data".to_owned(), documents::meta_data(guest).into_bytes()),
        ("user-data".to_owned(), documents::user_data(&config.user_data).into_bytes()),
        ("vendor-data".to_owned(), documents::vendor_data(&config.vendor_data).into_bytes()),
        ("network-config".to_owned(), network_config.into_bytes()),
        ("windlass/guest.sh".to_owned(), GUEST_SCRIPT.into()),
        ("windlass/instance".to_owned(), instance::text(guest).into_bytes()),
        (
            "windlass/environment".to_owned(),
            instance::environment(&guest.desired.workload.environment).into_bytes(),
        ),
        ("windlass/hosts".to_owned(), instance::hosts(guest.desired).into_bytes()),
        ("windlass/authorized_keys".to_owned(), format!("{}\n", guest.ssh_public_key).into()),
        ("windlass/sshd.conf".to_owned(), ssh::server_config(guest.user, &gateways).into_bytes()),
    ]);
    for (number, file) in guest.files.iter().enumerate() {
        seed.insert(format!("windlass/files/{number}"), file.content.clone());
    }
    seed
}
