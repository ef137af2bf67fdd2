//! Commands that look and change nothing.

use std::str::FromStr;

use clap::{Args, ValueEnum};

use super::Selection;

/// `--format` of commands that show a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
}

/// Arguments of `plan`.
#[derive(Debug, Clone, Default, Args)]
pub struct Plan {
    /// What would come up.
    #[command(flatten)]
    pub selection: Selection,
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub format: PlanFormat,
    /// Exit with 10 when there is something to do
    #[arg(long)]
    pub exit_code: bool,
}

/// Arguments of `diff`.
#[derive(Debug, Clone, Default, Args)]
pub struct Diff {
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub format: PlanFormat,
    /// Exit with 10 when something is not as it was made
    #[arg(long)]
    pub exit_code: bool,
}

/// Arguments of `events`.
#[derive(Debug, Clone, Default, Args)]
pub struct Events {
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// `--format` of `plan`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// Arguments of `ps`.
#[derive(Debug, Clone, Default, Args)]
pub struct Ps {
    /// Which workloads; all when none is named
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Those too that are stopped or have ended by hand
    #[arg(short, long)]
    pub all: bool,
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Names alone
    #[arg(short, long)]
    pub quiet: bool,
    /// How each is, condition by condition, with the reason and since when
    #[arg(long, conflicts_with = "quiet")]
    pub conditions: bool,
}

/// Arguments of `logs`.
#[derive(Debug, Clone, Default, Args)]
pub struct Logs {
    /// Which workloads; all when none is named
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Go on showing what is written
    #[arg(short, long)]
    pub follow: bool,
    /// So many of each one's last lines, or `all`
    #[arg(short = 'n', long, value_name = "LINES", default_value = "all")]
    pub tail: Tail,
    /// Lines since then: `2026-11-02T10:00:00Z`, `2026-11-02`, or `10m` ago
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// Show when each line was written
    #[arg(short, long)]
    pub timestamps: bool,
    /// Lines as they are, without names
    #[arg(long)]
    pub no_log_prefix: bool,
}

/// `--tail`: `None` is all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tail(pub Option<usize>);

impl FromStr for Tail {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self(None));
        }
        let lines = text.parse().map_err(|_| "neither a number of lines nor `all`".to_owned())?;
        Ok(Self(Some(lines)))
    }
}

/// Arguments of `config`.
#[derive(Debug, Clone, Default, Args)]
pub struct Config {
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub format: ConfigFormat,
    /// Only check, write nothing
    #[arg(short, long)]
    pub quiet: bool,
    /// Names of the services, one a line
    #[arg(long, group = "only")]
    pub services: bool,
    /// Names of the VMs, one a line
    #[arg(long, group = "only")]
    pub vms: bool,
    /// Names of the volumes, one a line
    #[arg(long, group = "only")]
    pub volumes: bool,
    /// Names of the networks, one a line
    #[arg(long, group = "only")]
    pub networks: bool,
    /// Images, one a line
    #[arg(long, group = "only")]
    pub images: bool,
}

/// `--format` of `config`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ConfigFormat {
    /// YAML
    #[default]
    Yaml,
    /// JSON
    Json,
}

/// Arguments of `graph`.
#[derive(Debug, Clone, Default, Args)]
pub struct Graph {
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub format: GraphFormat,
}

/// `--format` of `graph`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// For people
    #[default]
    Text,
    /// For Graphviz: `windlass graph --format dot | dot -Tsvg`
    Dot,
}

/// Arguments of `images`.
#[derive(Debug, Clone, Default, Args)]
pub struct Images {
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Digests alone
    #[arg(short, long)]
    pub quiet: bool,
}

/// Arguments of `volumes`.
#[derive(Debug, Clone, Default, Args)]
pub struct Volumes {
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Names alone
    #[arg(short, long)]
    pub quiet: bool,
}

/// Arguments of `ls`.
#[derive(Debug, Clone, Default, Args)]
pub struct Ls {
    /// Stacks too that are down and still hold disks
    #[arg(short, long)]
    pub all: bool,
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Names alone
    #[arg(short, long)]
    pub quiet: bool,
}

/// Arguments of `df`.
#[derive(Debug, Clone, Default, Args)]
pub struct Df {
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}
