//! Runs a command inside a container: a re-exec of Windlass enters it.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use tokio::net::unix::pipe::Receiver;

use super::error::EmbeddedError;
use super::{Home, life};
use crate::engine::{ExecCommand, ExecOutput, Streams, exit_code};
use crate::shim::Payload;
use crate::shim::enter::Entry;
use crate::shim::launch::read_spec;
use crate::stack::{InstanceId, StackName};
use crate::state::StateError;

/// Output beyond this is dropped.
const CAPTURED: usize = 64 * 1024;

/// A command that is ready to be started.
pub(super) struct Prepared {
    command: Command,
    /// Given to the command by its number; open until it runs.
    _entry: OwnedFd,
}

/// Looks up what the container's own processes have.
pub(super) fn prepare(
    home: &Home,
    stack: &StackName,
    id: &InstanceId,
    command: &ExecCommand,
) -> Result<Prepared, EmbeddedError> {
    let status = life::running(home, stack, id)?;
    let spec = read_spec(&home.run(stack, id))?;
    let Payload::Container(container) = spec.payload else {
        return Err(EmbeddedError::NotAContainer);
    };
    let process = &container.config["process"];
    let own = process["env"].as_array().into_iter().flatten();
    let mut environment: Vec<String> =
        own.filter_map(|text| text.as_str().map(str::to_owned)).collect();
    if command.tty && !environment.iter().any(|text| text.starts_with("TERM=")) {
        environment.push("TERM=xterm".to_owned());
    }
    environment.extend(command.environment.iter().map(|(name, value)| format!("{name}={value}")));
    let cwd = process["cwd"].as_str().unwrap_or("/");
    let entry = Entry {
        pid: status.pid,
        start_time: status.start_time,
        cgroup: status.cgroup,
        argv: command.argv.clone(),
        environment,
        user: command.user.clone().unwrap_or(container.user),
        working_directory: command.working_dir.clone().unwrap_or_else(|| cwd.to_owned()),
        tty: command.tty,
        confinement: container.confinement,
    };
    let (command, entry) = home.launcher.command_with("exec", &entry)?;
    Ok(Prepared { command, _entry: entry })
}

/// Runs it. Dropping the future kills the command.
pub(super) async fn run(prepared: Prepared, streams: Streams) -> Result<ExecOutput, EmbeddedError> {
    let failed = || StateError::io("run", "windlass internal exec");
    let mut command = tokio::process::Command::from(prepared.command);
    command.kill_on_drop(true);
    if streams == Streams::Inherit {
        let status = command.status().await.map_err(failed())?;
        return Ok(ExecOutput { code: exit_code(status), output: String::new() });
    }
    // One pipe for both, so that the lines keep their order.
    let (writer, reader) = tokio::net::unix::pipe::pipe().map_err(failed())?;
    let writer = writer.into_blocking_fd().map_err(failed())?;
    let copy = writer.try_clone().map_err(failed())?;
    command.stdin(Stdio::null()).stdout(writer).stderr(copy);
    let mut child = command.spawn().map_err(failed())?;
    // Our copies of its end go with it.
    drop(command);
    let mut kept = Vec::new();
    let status = loop {
        tokio::select! {
            readable = reader.readable() => {
                readable.map_err(failed())?;
                if !collect(&reader, &mut kept).map_err(failed())? {
                    break child.wait().await.map_err(failed())?;
                }
            }
            // A process that it left behind may hold the pipe for ever.
            status = child.wait() => break status.map_err(failed())?,
        }
    };
    collect(&reader, &mut kept).map_err(failed())?;
    Ok(ExecOutput { code: exit_code(status), output: String::from_utf8_lossy(&kept).into_owned() })
}

/// Takes what is there; whether more may come.
fn collect(reader: &Receiver, kept: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    loop {
        match reader.try_read(&mut buffer) {
            Ok(0) => return Ok(false),
            Ok(length) => {
                let room = CAPTURED - kept.len();
                kept.extend_from_slice(&buffer[..length.min(room)]);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        }
    }
}
