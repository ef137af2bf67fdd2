//! Commands about Windlass itself and what it keeps on the host.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Format;

/// Arguments of `image`.
#[derive(Debug, Clone, Args)]
pub struct Image {
    /// What to do.
    #[command(subcommand)]
    pub command: ImageCommand,
}

/// Commands of `image`.
#[derive(Debug, Clone, Subcommand)]
pub enum ImageCommand {
    /// Fetch images, or look whether there are newer ones
    Pull {
        /// References; the stack's own images when none is named
        #[arg(value_name = "IMAGE")]
        images: Vec<String>,
        /// They are for VMs: names of the catalogue
        #[arg(long)]
        vm: bool,
    },
    /// Put a local OCI layout or disk image into the store
    Import {
        /// The file or directory
        path: PathBuf,
        /// It is a disk image for VMs
        #[arg(long)]
        vm: bool,
    },
    /// Build what the stack declares under `build:`
    Build {
        /// Which workloads; all that have a `build:` when none is named
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// Remove images that nothing uses
    Rm {
        /// References or digests
        #[arg(value_name = "IMAGE", required = true)]
        images: Vec<String>,
    },
}

/// Arguments of `volume`.
#[derive(Debug, Clone, Args)]
pub struct Volume {
    /// What to do.
    #[command(subcommand)]
    pub command: VolumeCommand,
}

/// Commands of `volume`.
#[derive(Debug, Clone, Subcommand)]
pub enum VolumeCommand {
    /// Remove volumes and disks that were set aside: the data is gone
    Rm {
        /// Names as `windlass volumes` shows them
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
    },
}

/// Arguments of `autostart`.
#[derive(Debug, Clone, Args)]
pub struct Autostart {
    /// What to do.
    #[command(subcommand)]
    pub command: AutostartCommand,
}

/// Commands of `autostart`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum AutostartCommand {
    /// Have what runs stopped in order when the host goes down, and brought back when it starts
    On,
    /// Leave the stack alone when the host goes down and comes up; what runs goes on
    Off,
    /// Say whether it is on
    Status,
    /// The unit's own: bring back what ran when the host went down
    #[command(hide = true)]
    HostUp,
    /// The unit's own: stop what runs, and remember it
    #[command(hide = true)]
    HostDown,
}

/// Arguments of `prune`.
#[derive(Debug, Clone, Default, Args)]
pub struct Prune {
    /// Say what would go, remove nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `init`.
#[derive(Debug, Clone, Default, Args)]
pub struct Init {
    /// Where to write it
    #[arg(value_name = "DIRECTORY", default_value = ".")]
    pub directory: PathBuf,
}

/// Arguments of `schema`.
#[derive(Debug, Clone, Default, Args)]
pub struct Schema {
    /// That of the file that `gitops` takes
    #[arg(long)]
    pub gitops: bool,
}

/// Arguments of `doctor`.
#[derive(Debug, Clone, Default, Args)]
pub struct Doctor {
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Arguments of `completion`.
#[derive(Debug, Clone, Args)]
pub struct Completion {
    /// For which shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Arguments of `version`.
#[derive(Debug, Clone, Default, Args)]
pub struct Version {
    /// The number alone
    #[arg(long)]
    pub short: bool,
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}
