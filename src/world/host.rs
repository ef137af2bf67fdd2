//! The world of a real host: the engines of this machine over one set of
//! directories. Making it starts nothing and looks at nothing.

use std::path::Path;
use std::sync::Arc;

use super::World;
use crate::engine::embedded::Embedded;
use crate::engine::qemu::Qemu;
use crate::facts::surroundings::ThisHost;
use crate::image::{ImageError, Store};
use crate::network::HostNetworks;
use crate::shim::{Launcher, ShimError};
use crate::stack::vm::Accel;
use crate::state::Directories;
use crate::volume;

/// Why the engines of this host could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Our own program could not be opened for its parts to run from.
    #[error("cannot open the program for its own parts")]
    Program(#[source] ShimError),
    /// The image store cannot be used.
    #[error("cannot open the image store")]
    Images(#[source] ImageError),
}

impl World {
    /// The engines of this host.
    /// `accelerator`: what `WINDLASS_ACCEL` says, over what files say.
    pub fn host(directories: &Directories, accelerator: Accel) -> Result<Self, HostError> {
        let program = Path::new("/proc/self/exe");
        let launcher = Arc::new(Launcher::new(program).map_err(HostError::Program)?);
        let images = Arc::new(Store::open(directories).map_err(HostError::Images)?);
        let home_id = directories.home_id();
        let parts = || (directories.clone(), home_id.clone(), Arc::clone(&launcher));
        let containers = {
            let (directories, home_id, launcher) = parts();
            Embedded::new(directories, home_id, launcher, images.clone())
        };
        let vms = {
            let (directories, home_id, launcher) = parts();
            Qemu::new(directories, home_id, launcher, images.clone()).with_accelerator(accelerator)
        };
        let (of_network, id, launcher) = parts();
        Ok(Self {
            directories: directories.clone(),
            home_id,
            containers: Arc::new(containers),
            vms: Arc::new(vms),
            networks: Arc::new(HostNetworks::new(of_network, id, launcher)),
            volumes: Arc::new(volume::Store::new(directories)),
            images,
            host: Arc::new(ThisHost),
        })
    }
}
