//! Starts a container by libcontainer, in a child of the shim: what that costs
//! in memory goes away with the child, and the namespaces that it enters are
//! the container's and not the shim's.
//!
//! ```text
//! shim ── child: cgroup, network, mounts, libcontainer ── first process
//!   ╰─ reaps the child, becomes the first process's parent, lets it run
//! ```

use std::fs::{self, File};
use std::io::{IoSliceMut, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::oci_spec::runtime::Spec;
use libcontainer::syscall::syscall::SyscallType;
use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};
use nix::fcntl::OFlag;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::unistd::pipe2;
use serde_json::{Value, json};

use super::account::{self, Account};
use super::cgroup::Hierarchies;
use super::confine::{Confinement, become_program, confine};
use super::fork::{Mouth, Word};
use super::inside::Inside;
use super::start::Started;
use super::{ContainerPayload, Refusal, ShimSpec, devices, fork, interfaces, reexec, rootfs};
use crate::state::log::Stream;

/// libcontainer's name for it, within our own directory.
const NAME: &str = "c";

/// Where the first process waits to be let run.
const NOTIFY: &str = "oci/c/notify.sock";

/// Open files that a container may have.
const OPEN_FILES: u64 = 1_048_576;

const CONSOLE: &str = "console.sock";

/// What the first process is connected to.
struct Streams {
    /// Its own ends, in the order of their numbers.
    inner: Vec<OwnedFd>,
    console: Option<UnixListener>,
    started: Started,
}

/// Makes the container and lets its first process run.
pub(super) fn start(
    payload: &ContainerPayload,
    spec: &ShimSpec,
    hierarchies: &Hierarchies,
) -> Result<Started, Refusal> {
    let run = &spec.run_directory;
    match fs::remove_dir_all(run.join("oci")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Refusal::system("remove what an earlier run left")(error));
        }
        _ => {}
    }
    let mut streams = connect(payload, run)?;
    let (ear, mouth) = fork::ear_and_mouth()?;
    let inner = std::mem::take(&mut streams.inner);
    let (_, word) = fork::child(|said| {
        let pid = make(payload, spec, hierarchies, inner, mouth)?;
        said.say(&Word::Made { pid });
        Ok(())
    })?;
    let Some(Word::Made { pid }) = word else {
        return Err(Refusal::system("make the container")("its maker ended without a word"));
    };
    let mut started = Started { pid, ..streams.started };
    if let Some(console) = streams.console {
        let terminal = receive_terminal(&console)?;
        let copy = terminal.try_clone().map_err(Refusal::system("share the terminal"))?;
        started.outputs.push((terminal, Stream::Stdout));
        started.input = Some(copy);
    }
    drop(fs::remove_file(run.join(CONSOLE)));
    let_run(run).map_err(Refusal::system("let the container run"))?;
    match fork::hear(&ear)? {
        Some(Word::Refused(refusal)) => {
            let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None);
            Err(refusal)
        }
        _ => Ok(started),
    }
}

/// Pipes, or a socket over which the terminal will come.
fn connect(payload: &ContainerPayload, run: &Path) -> Result<Streams, Refusal> {
    let pipe = || pipe2(OFlag::O_CLOEXEC).map_err(Refusal::system("make a pipe"));
    if payload.tty {
        drop(fs::remove_file(run.join(CONSOLE)));
        let directory = File::open(run).map_err(Refusal::system("open the run directory"))?;
        let path = format!("/proc/self/fd/{}/{CONSOLE}", directory.as_raw_fd());
        let console =
            UnixListener::bind(path).map_err(Refusal::system("make the console socket"))?;
        let started = Started { terminal: true, ..Started::default() };
        return Ok(Streams { inner: Vec::new(), console: Some(console), started });
    }
    let (input_end, input) = if payload.stdin_open {
        let (read, write) = pipe()?;
        (read, Some(write))
    } else {
        let null = File::open("/dev/null").map_err(Refusal::system("open /dev/null"))?;
        (null.into(), None)
    };
    let (output, output_end) = pipe()?;
    let (errors, errors_end) = pipe()?;
    let outputs = vec![(output, Stream::Stdout), (errors, Stream::Stderr)];
    Ok(Streams {
        inner: vec![input_end, output_end, errors_end],
        console: None,
        started: Started { outputs, input, ..Started::default() },
    })
}

/// In the child: everything up to a first process that waits to be let run.
fn make(
    payload: &ContainerPayload,
    spec: &ShimSpec,
    hierarchies: &Hierarchies,
    inner: Vec<OwnedFd>,
    mouth: Mouth,
) -> Result<i32, Refusal> {
    let run = &spec.run_directory;
    if let Some(cgroup) = &spec.cgroup {
        hierarchies
            .enter_beside_libcontainer(&cgroup.path)
            .map_err(Refusal::system("enter the cgroup"))?;
    }
    interfaces::enter_own_network(&spec.interfaces)?;
    let root = run.join("rootfs");
    rootfs::mount_layers(payload, &root)?;
    let account = prepare_inside(payload, &root)?;
    let bundle = run.join("oci");
    fs::create_dir_all(&bundle).map_err(Refusal::system("make the bundle"))?;
    let config = complete(payload, spec, &root, &account)?;
    fs::write(bundle.join("config.json"), config.to_string())
        .map_err(Refusal::system("write the configuration"))?;

    let failed = |error: libcontainer::error::LibcontainerError| {
        Refusal::system("make the container")(in_full(&error))
    };
    let runner =
        Runner { confinement: payload.confinement.clone(), mouth: std::rc::Rc::new(mouth.into()) };
    let mut builder = ContainerBuilder::new(NAME.to_owned(), SyscallType::default())
        .with_root_path(&bundle)
        .map_err(failed)?
        .with_executor(runner);
    if payload.tty {
        builder = builder.with_console_socket(Some(run.join(CONSOLE)));
    }
    let mut inner = inner.into_iter();
    if let (Some(input), Some(output), Some(errors)) = (inner.next(), inner.next(), inner.next()) {
        builder = builder.with_stdin(input).with_stdout(output).with_stderr(errors);
    }
    let container =
        builder.as_init(&bundle).with_systemd(false).with_detach(true).build().map_err(failed)?;
    let pid = container.pid().ok_or_else(|| Refusal::system("make the container")("no process"))?;
    Ok(pid.as_raw())
}

/// What needs the image's files as they will be seen: the user, a working
/// directory that is missing, the content of empty volumes.
fn prepare_inside(payload: &ContainerPayload, root: &Path) -> Result<Account, Refusal> {
    let inside = Inside::open_root(root).map_err(Refusal::system("open the root directory"))?;
    for volume in &payload.copy_up {
        let operation = format!("fill the volume at `{}`", volume.path.display());
        inside.copy_up(&volume.path, &volume.volume).map_err(Refusal::system(operation))?;
    }
    if let Some(directory) = payload.config["process"]["cwd"].as_str() {
        inside.make_directory(Path::new(directory)).map_err(|error| Refusal::WorkingDirectory {
            path: directory.to_owned(),
            reason: error.to_string(),
        })?;
    }
    account::find(&payload.user, &inside)
}

/// The causes too: libcontainer's outer error says little.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

/// What the caller left to the shim: root, cgroup and namespaces. Network and
/// mounts were made already; the latter is made once more by libcontainer.
fn complete(
    payload: &ContainerPayload,
    spec: &ShimSpec,
    root: &Path,
    account: &Account,
) -> Result<Value, Refusal> {
    let mut config = payload.config.clone();
    config["root"]["path"] = json!(root);
    config["process"]["terminal"] = json!(payload.tty);
    config["process"]["user"] = json!({
        "uid": account.user,
        "gid": account.group,
        "additionalGids": account.groups,
    });
    if let Some(environment) = config["process"]["env"].as_array_mut() {
        let is_home = |value: &Value| value.as_str().is_some_and(|text| text.starts_with("HOME="));
        if !environment.iter().any(is_home) {
            environment.push(json!(format!("HOME={}", account.home)));
        }
    }
    // As under Docker, as far as this host lets us.
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let files = most.unwrap_or(OPEN_FILES).min(OPEN_FILES);
    config["process"]["rlimits"] =
        json!([{ "type": "RLIMIT_NOFILE", "hard": files, "soft": files }]);
    let namespaces = ["pid", "ipc", "uts", "mount", "cgroup"];
    config["linux"]["namespaces"] = namespaces.iter().map(|kind| json!({ "type": kind })).collect();
    if let Some(cgroup) = &spec.cgroup {
        config["linux"]["cgroupsPath"] = json!(format!("/{}", cgroup.path));
    }
    if payload.confinement.is_privileged() {
        let found = devices::of_host(Path::new("/dev"));
        let found = found.map_err(Refusal::system("look at the host's devices"))?;
        config["linux"]["devices"] = json!(found);
        config["linux"]["resources"]["devices"] = json!([{ "allow": true, "access": "rwm" }]);
    }
    Ok(config)
}

fn receive_terminal(console: &UnixListener) -> Result<OwnedFd, Refusal> {
    let failed = || Refusal::system::<nix::Error>("receive the terminal");
    let (stream, _) = console.accept().map_err(Refusal::system("receive the terminal"))?;
    let mut byte = [0; 64];
    let mut parts = [IoSliceMut::new(&mut byte)];
    let mut space = nix::cmsg_space!(std::os::fd::RawFd);
    let message =
        recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)
            .map_err(failed())?;
    for part in message.cmsgs().map_err(failed())? {
        if let ControlMessageOwned::ScmRights(descriptors) = part
            && let Some(descriptor) = descriptors.first()
        {
            return Ok(reexec::take(*descriptor));
        }
    }
    Err(Refusal::system("receive the terminal")("no descriptor came"))
}

/// The shim is the first process's parent by now, so that it dies with it.
fn let_run(run: &Path) -> std::io::Result<()> {
    let directory = File::open(run)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(NOTIFY);
    UnixStream::connect(path)?.write_all(b"start container")
}

/// Runs the program at the end of libcontainer's work, in the first process.
#[derive(Debug, Clone)]
struct Runner {
    confinement: Confinement,
    mouth: std::rc::Rc<std::cell::RefCell<Mouth>>,
}

impl Executor for Runner {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        fork::die_with_parent();
        if self.mouth.borrow().is_unheard() {
            // The shim died before it was asked to be watched.
            fork::leave(1);
        }
        let refusal = run(spec, &self.confinement);
        self.mouth.borrow_mut().say(&Word::Refused(refusal));
        Err(ExecutorError::InvalidArg)
    }

    fn validate(&self, _: &Spec) -> Result<(), ExecutorValidationError> {
        // In `exec`, where the reason reaches the caller in its own form.
        Ok(())
    }
}

fn run(spec: &Spec, confinement: &Confinement) -> Refusal {
    let Some(process) = spec.process() else {
        return Refusal::system("run")("there is no process");
    };
    if let Err(refusal) = confine(confinement, process.user().uid() == 0) {
        return refusal;
    }
    let path = std::env::var("PATH").unwrap_or_default();
    become_program(process.args().as_deref().unwrap_or_default(), &path)
}
