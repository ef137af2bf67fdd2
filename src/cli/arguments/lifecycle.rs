//! Commands that bring workloads up, take them down, and what lies between.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::parse;

/// What changes the plan: the same words for `up` and for `plan`, its dry run.
#[derive(Debug, Clone, Default, Args)]
pub struct Selection {
    /// Only these workloads and what they depend on; all when none is named
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Leave what the named ones depend on as it is
    #[arg(long)]
    pub no_deps: bool,
    /// Make containers again even though nothing changed (VMs restart: their disks stay)
    #[arg(long)]
    pub force_recreate: bool,
    /// Remove workloads that are no longer in the file; their disks and volumes stay
    #[arg(long)]
    pub remove_orphans: bool,
    /// Replace the root disk of this VM; the old one is kept as `NAME.old-N`
    #[arg(long, value_name = "NAME")]
    pub replace_disk: Vec<String>,
    /// When to ask the registry for images
    #[arg(long, value_name = "WHEN", value_enum)]
    pub pull: Option<Pull>,
    /// Take over a stack of the same name that was made from another directory
    #[arg(long)]
    pub adopt: bool,
}

/// `--pull`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Pull {
    /// Even for images that are here: a newer one replaces the pinned one
    Always,
    /// Only for images that are not here
    Missing,
    /// Not at all: images that are not here are an error
    Never,
}

/// Arguments of `up`.
#[derive(Debug, Clone, Default, Args)]
pub struct Up {
    /// What shall come up.
    #[command(flatten)]
    pub selection: Selection,
    /// Return when everything is up, instead of showing logs until Ctrl-C
    #[arg(short, long)]
    pub detach: bool,
    /// Return when everything is ready or healthy; implies `-d`
    #[arg(long)]
    pub wait: bool,
    /// Follow files and carry their changes into what runs, until Ctrl-C
    #[arg(short, long, conflicts_with_all = ["detach", "wait"])]
    pub watch: bool,
    /// How long `--wait` may take, in seconds or as `5m`
    #[arg(long, value_name = "TIME", value_parser = parse::seconds)]
    pub wait_timeout: Option<Duration>,
    /// How long a stop may take before it is a kill, instead of each one's own
    #[arg(short, long, value_name = "TIME", value_parser = parse::seconds)]
    pub timeout: Option<Duration>,
    /// Accepted as in Compose: `up` never asks, it refuses what would lose data unsaid
    #[arg(short, long)]
    pub yes: bool,
}

/// Arguments of `watch`.
#[derive(Debug, Clone, Default, Args)]
pub struct Watch {
    /// Only these workloads; all when none is named
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Follow what is up, instead of bringing everything up first
    #[arg(long)]
    pub no_up: bool,
    /// Say nothing but errors and what the supervisor does
    #[arg(long)]
    pub quiet: bool,
}

/// Arguments of `down`.
#[derive(Debug, Clone, Default, Args)]
pub struct Down {
    /// Remove volumes and disks too: the data is gone
    #[arg(short, long)]
    pub volumes: bool,
    /// Remove workloads that are no longer in the file too
    #[arg(long)]
    pub remove_orphans: bool,
    /// How long a stop may take before it is a kill, instead of each one's own
    #[arg(short, long, value_name = "TIME", value_parser = parse::seconds)]
    pub timeout: Option<Duration>,
    /// Take down a stack of the same name that was made from another directory
    #[arg(long)]
    pub adopt: bool,
}

/// Arguments of `start`.
#[derive(Debug, Clone, Default, Args)]
pub struct Start {
    /// Which workloads; all when none is named
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
}

/// Arguments of `stop`.
#[derive(Debug, Clone, Default, Args)]
pub struct Stop {
    /// Which workloads; all when none is named
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// How long it may take before it is a kill, instead of each one's own
    #[arg(short, long, value_name = "TIME", value_parser = parse::seconds)]
    pub timeout: Option<Duration>,
}

/// Arguments of `restart`.
#[derive(Debug, Clone, Default, Args)]
pub struct Restart {
    /// Which workloads; all when none is named
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// How long a stop may take before it is a kill, instead of each one's own
    #[arg(short, long, value_name = "TIME", value_parser = parse::seconds)]
    pub timeout: Option<Duration>,
}

/// Arguments of `kill`.
#[derive(Debug, Clone, Default, Args)]
pub struct Kill {
    /// Which workloads; all when none is named
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// The signal, by name or number (a VM knows KILL and TERM)
    #[arg(short, long, default_value = "KILL", value_parser = parse::signal)]
    pub signal: i32,
}

/// Arguments of `rm`.
#[derive(Debug, Clone, Default, Args)]
pub struct Rm {
    /// Which workloads; all that are stopped when none is named
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub force: bool,
    /// Stop them first
    #[arg(short, long)]
    pub stop: bool,
}
