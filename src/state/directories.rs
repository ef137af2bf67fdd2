//! The layout on disk. Every path of Windlass is made here and nowhere else.
//!
//! ```text
//! lib/   (/var/lib/windlass, or $WINDLASS_HOME/lib)                 data
//!   images/                       image store
//!   volumes/<resolved name>/      volume.json + data/ or disk.qcow2
//!   gitops/<stack>/               what a GitOps loop keeps: see `gitops::store`
//!   stacks/<stack>/lock
//!   stacks/<stack>/ledger.json    cache
//!   stacks/<stack>/<workload>/<n>/
//!     instance.json               the record, written before the disk
//!     exit.json  health.json      how the last run ended; the last check
//!     log/                        CRI-format lines, rotated
//!     upper/ work/                container's writable layer
//!     disk.qcow2 seed.img ready console.log    VM
//! run/   (/run/windlass, or $WINDLASS_HOME/run)            gone after a reboot
//!   i/<10 hex>/                   one per instance: shim.json shim.sock qmp.sock …
//!   s/<10 hex>/                   one per stack: zones, forwarders, name servers
//! cache/ (/var/cache/windlass, $WINDLASS_CACHE, or $WINDLASS_HOME/cache)   downloads
//! ```

use std::path::{Path, PathBuf};

use super::names;
use crate::stack::{InstanceId, StackName};

/// Where everything lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directories {
    /// Data: survives everything.
    pub lib: PathBuf,
    /// Sockets and other things of this boot.
    pub run: PathBuf,
    /// Downloads.
    pub cache: PathBuf,
}

impl Directories {
    /// From `WINDLASS_HOME` and `WINDLASS_CACHE`, as given.
    pub fn new(home: Option<&Path>, cache: Option<&Path>) -> Self {
        let cache_of_home = home.map(|home| home.join("cache"));
        let cache = cache.map(Path::to_owned).or(cache_of_home);
        Self {
            lib: home.map_or_else(|| "/var/lib/windlass".into(), |home| home.join("lib")),
            run: home.map_or_else(|| "/run/windlass".into(), |home| home.join("run")),
            cache: cache.unwrap_or_else(|| "/var/cache/windlass".into()),
        }
    }

    /// Identity of this state directory: eight hex digits, part of every name
    /// that is seen host-wide.
    pub fn home_id(&self) -> String {
        names::hash(&[&self.lib.to_string_lossy()], 8)
    }

    /// The stack's directory.
    pub fn stack(&self, stack: &StackName) -> PathBuf {
        self.lib.join("stacks").join(stack.as_str())
    }

    /// What a `GitOps` loop keeps of the stack.
    pub fn gitops(&self, stack: &StackName) -> PathBuf {
        self.lib.join("gitops").join(stack.as_str())
    }

    /// The instance's directory of data.
    pub fn instance(&self, stack: &StackName, id: &InstanceId) -> PathBuf {
        self.stack(stack).join(&id.workload).join(id.number.to_string())
    }

    /// The instance's directory of this boot.
    pub fn instance_run(&self, stack: &StackName, id: &InstanceId) -> PathBuf {
        let number = id.number.to_string();
        self.run.join("i").join(names::hash(&[stack.as_str(), &id.workload, &number], 10))
    }

    /// The stack's directory of this boot: zones, forwarders, name servers.
    pub fn stack_run(&self, stack: &StackName) -> PathBuf {
        self.run.join("s").join(names::hash(&[stack.as_str()], 10))
    }

    /// A volume's directory, by its resolved name.
    pub fn volume(&self, resolved: &str) -> PathBuf {
        self.lib.join("volumes").join(resolved)
    }

    /// The image store.
    pub fn images(&self) -> PathBuf {
        self.lib.join("images")
    }
}
