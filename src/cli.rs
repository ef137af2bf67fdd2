//! The command line: arguments, words, colours, exit codes; one file a command.
//! It holds no logic that another front end would need, and only [`ui`] prints.

pub mod arguments;
pub mod error;
pub mod interrupt;
pub mod privilege;
pub mod ui;

mod attached;
mod autostart;
mod carry_out;
mod completion;
mod config;
mod df;
mod diff;
mod doctor;
mod down;
mod events;
mod exec;
mod gitops;
mod graph;
mod image;
mod images;
mod init;
mod instances;
mod kill;
mod logs;
mod ls;
mod plan;
mod project;
mod prune;
mod ps;
mod report;
mod restart;
mod rm;
mod schema;
mod session;
mod shell;
mod start;
mod stop;
mod supervise;
mod up;
mod verb;
mod version;
mod volume;
mod volumes;
mod watch;

use std::ffi::OsString;
use std::future::Future;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::state::Directories;
use arguments::{Arguments, Global};
pub use error::{CommandError, Exit};
use ui::Screen;

/// The commands, in the order in which help lists them.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a commented stack file to start from
    Init(arguments::Init),
    /// Make the host match the stack file
    Up(arguments::Up),
    /// Stop and remove what runs; volumes and disks stay
    Down(arguments::Down),
    /// Say what `up` would do, and why
    Plan(arguments::Plan),
    /// Show what is no longer as `up` made it, field by field
    Diff(arguments::Diff),
    /// Follow files and carry their changes into what runs
    Watch(arguments::Watch),
    /// List what runs
    Ps(arguments::Ps),
    /// Show what happens, as the supervisor sees it
    Events(arguments::Events),
    /// Show what workloads wrote
    Logs(arguments::Logs),
    /// Run a command inside a workload
    Exec(arguments::Exec),
    /// Open a shell inside a workload
    Shell(arguments::Shell),
    /// Start what is at rest
    Start(arguments::Start),
    /// Stop what runs
    Stop(arguments::Stop),
    /// Stop and start
    Restart(arguments::Restart),
    /// Send a signal to what runs
    Kill(arguments::Kill),
    /// Remove what is stopped; disks stay
    Rm(arguments::Rm),
    /// List the stacks of this host
    Ls(arguments::Ls),
    /// List images of containers and VMs
    Images(arguments::Images),
    /// Fetch, import, build and remove images
    Image(arguments::Image),
    /// List volumes, and disks that were set aside
    Volumes(arguments::Volumes),
    /// Remove volumes by name
    Volume(arguments::Volume),
    /// Show what takes room
    Df(arguments::Df),
    /// Remove images that nothing uses
    Prune(arguments::Prune),
    /// Check the stack file and show what it says, written out
    Config(arguments::Config),
    /// Show who waits for whom
    Graph(arguments::Graph),
    /// Say what this host can do, and what would mend the rest
    Doctor(arguments::Doctor),
    /// Mind a stack: restart what ends, check health (`up` starts this by itself)
    Supervise,
    /// Bring a stack back when the host starts, by a systemd unit
    Autostart(arguments::Autostart),
    /// Have a stack follow a git repository: fetched, judged, deployed, rolled back
    #[command(name = "gitops")]
    GitOps(arguments::GitOps),
    /// Write the JSON schema of a stack file
    Schema(arguments::Schema),
    /// Write a completion script for a shell
    Completion(arguments::Completion),
    /// Say which Windlass this is
    Version(arguments::Version),
}

/// What every command is given.
#[derive(Debug)]
pub struct Invocation {
    /// What stood before the command.
    pub global: Global,
    /// Where state lies.
    pub directories: Directories,
    /// Where words go.
    pub screen: Screen,
}

/// The whole program: parses, runs, says what went wrong, gives the exit code.
pub fn main(line: &[OsString]) -> ExitCode {
    start_diagnosis();
    let arguments = match Arguments::try_parse_from(line) {
        Ok(arguments) => arguments,
        Err(error) => return ui::usage(&error).into(),
    };
    let screen = Screen::new(arguments.global.progress, arguments.global.ansi);
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let (home, cache) = (set("WINDLASS_HOME"), set("WINDLASS_CACHE"));
    // Names on the host are made from it: it must not depend on where one stands.
    let absolute = |path: OsString| std::path::absolute(&path).unwrap_or_else(|_| path.into());
    let (home, cache) = (home.map(absolute), cache.map(absolute));
    let directories = Directories::new(home.as_deref(), cache.as_deref());
    let invocation = Invocation { global: arguments.global, directories, screen };
    let result = privilege::check(&arguments.command, line)
        .and_then(|()| dispatch(&invocation, &arguments.command));
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            invocation.screen.error(&error);
            error.exit().into()
        }
    }
}

fn dispatch(invocation: &Invocation, command: &Command) -> Result<Exit, CommandError> {
    match command {
        Command::Init(arguments) => init::run(invocation, arguments),
        Command::Up(arguments) => block_on(up::run(invocation, arguments)),
        Command::Down(arguments) => block_on(down::run(invocation, arguments)),
        Command::Plan(arguments) => block_on(plan::run(invocation, arguments)),
        Command::Diff(arguments) => {
            block_on(diff::run(invocation, arguments.format, arguments.exit_code))
        }
        Command::Events(arguments) => block_on(events::run(invocation, arguments)),
        Command::Watch(arguments) => block_on(watch::run(invocation, arguments)),
        Command::Ps(arguments) => block_on(ps::run(invocation, arguments)),
        Command::Logs(arguments) => block_on(logs::run(invocation, arguments)),
        Command::Exec(arguments) => block_on(exec::run(invocation, arguments)),
        Command::Shell(arguments) => block_on(shell::run(invocation, arguments)),
        Command::Start(arguments) => block_on(start::run(invocation, arguments)),
        Command::Stop(arguments) => block_on(stop::run(invocation, arguments)),
        Command::Restart(arguments) => block_on(restart::run(invocation, arguments)),
        Command::Kill(arguments) => block_on(kill::run(invocation, arguments)),
        Command::Rm(arguments) => block_on(rm::run(invocation, arguments)),
        Command::Ls(arguments) => ls::run(invocation, arguments),
        Command::Images(arguments) => images::run(invocation, arguments),
        Command::Image(arguments) => block_on(image::run(invocation, arguments)),
        Command::Volumes(arguments) => volumes::run(invocation, arguments),
        Command::Volume(arguments) => block_on(volume::run(invocation, arguments)),
        Command::Df(arguments) => df::run(invocation, arguments),
        Command::Prune(arguments) => prune::run(invocation, arguments),
        Command::Config(arguments) => config::run(invocation, arguments),
        Command::Graph(arguments) => graph::run(invocation, arguments),
        Command::Supervise => block_on(supervise::run(invocation)),
        Command::Autostart(arguments) => autostart::run(invocation, arguments),
        Command::GitOps(arguments) => gitops::run(invocation, arguments),
        Command::Schema(arguments) => schema::run(invocation, arguments),
        Command::Doctor(arguments) => doctor::run(invocation, arguments),
        Command::Completion(arguments) => completion::run(invocation, arguments),
        Command::Version(arguments) => version::run(invocation, arguments),
    }
}

/// Runs a command that waits for things. Only such commands pay for a runtime;
/// one thread does, since the work is done by other processes and the kernel.
fn block_on(
    command: impl Future<Output = Result<Exit, CommandError>>,
) -> Result<Exit, CommandError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| CommandError::Setup { what: "the runtime", source })?
        .block_on(command)
}

/// `WINDLASS_LOG=debug` writes diagnosis to standard error; without it, nothing is set up.
fn start_diagnosis() {
    if std::env::var_os("WINDLASS_LOG").is_some() {
        let filter = tracing_subscriber::EnvFilter::from_env("WINDLASS_LOG");
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
}
