//! Arguments of `gitops`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Format;

/// Arguments of `gitops`.
#[derive(Debug, Clone, Args)]
pub struct GitOps {
    /// What to do.
    #[command(subcommand)]
    pub command: GitOpsCommand,
}

/// Commands of `gitops`. `-p NAME` before `gitops` says which stack, where there
/// are several.
#[derive(Debug, Clone, Subcommand)]
pub enum GitOpsCommand {
    /// Follow a repository from now on, also after a reboot: by a systemd unit
    Install {
        /// The gitops file: `repo`, `ref`, `path`, `policy` and the like
        file: PathBuf,
    },
    /// Follow it no longer; what runs goes on
    Uninstall,
    /// Follow a repository in the foreground until Ctrl-C; what runs goes on
    Run {
        /// The gitops file: `repo`, `ref`, `path`, `policy` and the like
        file: PathBuf,
    },
    /// Say which revision runs, since when and why, and what waits
    Status {
        /// How it is written
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Fetch now, bring up what is in place, and return when nothing is left to do
    Sync,
    /// Fetch and change nothing until `resume`
    Suspend,
    /// Go on after `suspend`
    Resume,
    /// Let through what waits, or try again what failed
    Approve {
        /// The commit that waits: seven digits of it or more
        commit: String,
    },
}
