//! What may be written on the command line: Compose's verbs with Compose's
//! flags, and Windlass's own. It parses and nothing else: what a flag means is
//! said by the command that takes it.

mod gitops;
mod house;
mod inside;
mod lifecycle;
mod looking;
mod parse;

use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};

pub use gitops::{GitOps, GitOpsCommand};
pub use house::{
    Autostart, AutostartCommand, Completion, Doctor, Image, ImageCommand, Init, Prune, Schema,
    Version, Volume, VolumeCommand,
};
pub use inside::{Exec, Shell};
pub use lifecycle::{Down, Kill, Pull, Restart, Rm, Selection, Start, Stop, Up, Watch};
pub use looking::{
    Config, ConfigFormat, Df, Diff, Events, Format, Graph, GraphFormat, Images, Logs, Ls, Plan,
    PlanFormat, Ps, Tail, Volumes,
};

use super::Command;

/// VMs and containers from one Compose-style file: planned, reconciled, never lost.
#[derive(Debug, Parser)]
#[command(name = "windlass", version, disable_help_subcommand = true, max_term_width = 100)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// What stands before the command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 failed, 2 usage, 3 the stack file is wrong, 4 an engine is unavailable,
5 refused (consent is needed, or it is not ours), 10 `plan --exit-code` has something to do,
130 interrupted; `exec` and `shell` give the command's own.";

/// Options of every command. `-f` and `-p` stand before it, as in Compose,
/// because commands have a `-f` of their own.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// A stack file; several are merged in order; `-` is standard input
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Name of the stack, instead of the file's or the directory's
    #[arg(short = 'p', long, value_name = "NAME")]
    pub project_name: Option<String>,
    /// Turn on a profile (may be repeated; `*` turns on all)
    #[arg(long = "profile", value_name = "NAME", global = true)]
    pub profiles: Vec<String>,
    /// Read variables from here instead of `.env` (may be repeated)
    #[arg(long = "env-file", value_name = "FILE", global = true)]
    pub env_files: Vec<PathBuf>,
    /// Directory that relative paths start from, instead of the first file's
    #[arg(long, value_name = "PATH", global = true)]
    pub project_directory: Option<PathBuf>,
    /// How progress is shown
    #[arg(long, value_name = "HOW", value_enum, default_value_t, global = true)]
    pub progress: Progress,
    /// When colours and cursor movements are used
    #[arg(long, value_name = "WHEN", value_enum, default_value_t, global = true)]
    pub ansi: Ansi,
}

/// `--progress`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// In place on a terminal, else plain lines
    #[default]
    Auto,
    /// In place, also where standard error is no terminal
    Tty,
    /// One line an event, with its time
    Plain,
    /// One JSON object an event
    Json,
    /// Nothing but errors
    Quiet,
}

/// `--ansi`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Ansi {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}
