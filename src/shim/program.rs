//! Starts a program of the host: QEMU, virtiofsd, a forwarder, a name server.

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::fcntl::OFlag;
use nix::unistd::{Gid, Uid, pipe2, setgid, setgroups, setuid};

use super::cgroup::Hierarchies;
use super::start::Started;
use super::{Cgroup, Interface, ProgramPayload, Refusal, fork, interfaces, reexec};
use crate::state::log::Stream;

/// Variable that names the descriptor on which a program says that it works.
pub const READY_FD: &str = "WINDLASS_READY_FD";

/// Starts the program in its cgroup, with its taps.
pub(super) fn start(
    program: &ProgramPayload,
    hierarchies: &Hierarchies,
    cgroup: Option<&Cgroup>,
    interfaces: &[Interface],
) -> Result<Started, Refusal> {
    let pipe = || pipe2(OFlag::O_CLOEXEC).map_err(Refusal::system("make a pipe"));
    let (output, output_end) = pipe()?;
    let (errors, errors_end) = pipe()?;
    let ready = if program.says_ready { Some(pipe()?) } else { None };
    let (ready, ready_end) = ready.unzip();

    let (pid, _) = fork::child(|_| {
        let failed = |operation: &str| Refusal::system(operation.to_owned());
        reexec::onto(&output_end, 1).map_err(failed("connect the output"))?;
        reexec::onto(&errors_end, 2).map_err(failed("connect the output"))?;
        if let Some(cgroup) = cgroup {
            hierarchies.enter(&cgroup.path, 0).map_err(failed("enter the cgroup"))?;
        }
        let taps = interfaces::open_taps(interfaces)?;
        become_program(program, &taps, ready_end.as_ref())
    })?;
    Ok(Started {
        pid: pid.as_raw(),
        outputs: vec![(output, Stream::Stdout), (errors, Stream::Stderr)],
        ready,
        ..Started::default()
    })
}

/// The rest happens in the child; returns only when it failed.
fn become_program(
    program: &ProgramPayload,
    taps: &[OwnedFd],
    ready: Option<&OwnedFd>,
) -> Result<(), Refusal> {
    let mut argv = program.argv.iter().map(|argument| with_taps(argument, taps));
    let name = argv.next().unwrap_or_default();
    let mut command =
        if name == "windlass" { Command::new("/proc/self/exe") } else { Command::new(&name) };
    command.arg0(&name);
    command.args(argv).env_clear().envs(&program.environment);
    if !program.environment.contains_key("PATH")
        && let Some(path) = std::env::var_os("PATH")
    {
        command.env("PATH", path);
    }
    for kept in taps.iter().chain(ready) {
        fork::keep(kept).map_err(Refusal::system("hand on a descriptor"))?;
    }
    if let Some(ready) = ready {
        command.env(READY_FD, fork::number(ready));
    }
    enter_directory(program)?;
    fork::default_signals().map_err(Refusal::system("set the signals"))?;
    if program.dies_with_shim {
        // After the change of user, which would undo it.
        fork::die_with_parent();
    } else {
        outlive_the_pipe().map_err(Refusal::system("set the signals"))?;
    }
    Err(Refusal::of_exec(&name, "on this host", &fork::exec(&mut command)))
}

/// As the user that it will be, so that a directory it may not enter is an
/// error here.
fn enter_directory(program: &ProgramPayload) -> Result<(), Refusal> {
    if let Some((user, group)) = program.user {
        let failed = |operation: &str| Refusal::system(operation.to_owned());
        let group = Gid::from_raw(group);
        setgroups(&[group]).map_err(failed("set the groups"))?;
        setgid(group).map_err(failed("set the group"))?;
        setuid(Uid::from_raw(user)).map_err(failed("set the user"))?;
    }
    std::env::set_current_dir(&program.working_directory).map_err(|error| {
        Refusal::WorkingDirectory {
            path: program.working_directory.display().to_string(),
            reason: error.to_string(),
        }
    })
}

/// A program that outlives its shim writes into a pipe without a reader then:
/// that must not kill it.
#[expect(unsafe_code, reason = "ignoring a signal has no safe form")]
fn outlive_the_pipe() -> nix::Result<()> {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: to ignore a signal runs no code of ours.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) }?;
    Ok(())
}

fn with_taps(argument: &str, taps: &[OwnedFd]) -> String {
    let mut argument = argument.to_owned();
    for (number, tap) in taps.iter().enumerate() {
        argument = argument.replace(&format!("{{tap{number}}}"), &fork::number(tap));
    }
    argument
}
