//! Has a supervisor run for a stack: under a shim of its own, so that it is
//! nobody's child, keeps a log, and outlives the command that wanted it.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::client::{Client, ClientError};
use super::server;
use crate::shim::{self, Launcher, Payload, ProgramPayload, ShimError, ShimSpec};
use crate::stack::StackName;
use crate::state::{Directories, file_lock};

/// Locked by whoever is about to start one.
pub(super) const STARTING: &str = "starting";

/// How long one that has been started may take until it can be spoken to.
const START: Duration = Duration::from_secs(10);

/// Why there is no supervisor.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// It was started and does not run.
    #[error("cannot start the supervisor")]
    Start(#[source] ShimError),
    /// The one there is cannot be spoken to.
    #[error("cannot speak to the supervisor")]
    Speak(#[source] ClientError),
    /// Its directory cannot be used.
    #[error("cannot use `{path}`", path = path.display())]
    Directory {
        /// Which one.
        path: std::path::PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl SpawnError {
    /// What to do about it, where that is known.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Speak(error) => error.help(),
            Self::Start(_) | Self::Directory { .. } => None,
        }
    }
}

/// Has a supervisor of this very program: an older one is asked to leave first.
/// What it minded goes on meanwhile.
pub async fn ensure(directories: &Directories, stack: &StackName) -> Result<Client, SpawnError> {
    let client = Client::new(directories, stack);
    if is_ours(&client).await? {
        return Ok(client);
    }
    let directory = client.directory().to_owned();
    // Of several commands that find none, one starts it.
    let lock = tokio::task::spawn_blocking(move || lock(&directory)).await;
    let unusable = |source| SpawnError::Directory { path: client.directory().to_owned(), source };
    let _lock = lock.map_err(|error| unusable(error.into()))?.map_err(unusable)?;
    let directory = client.directory().to_owned();
    let settled = tokio::task::spawn_blocking(move || settle(&directory)).await;
    if !settled.map_err(|error| unusable(error.into()))?.map_err(unusable)? {
        return Err(SpawnError::Speak(client.silent()));
    }
    if is_ours(&client).await? {
        return Ok(client);
    }
    dismiss(&client).await?;
    let spec = spec(directories, stack, client.directory());
    let launcher = Launcher::new(Path::new("/proc/self/exe")).map_err(SpawnError::Start)?;
    let launch = move || {
        let directory = &spec.run_directory;
        shim::wait_until_unminded(directory).map_err(ShimError::io("wait for", directory))?;
        launcher.launch(&spec)
    };
    let status = tokio::task::spawn_blocking(launch).await;
    status.map_err(|error| unusable(error.into()))?.map_err(SpawnError::Start)?;
    Ok(client)
}

/// Whether a supervisor answers that runs our own program.
async fn is_ours(client: &Client) -> Result<bool, SpawnError> {
    let hello = client.hello().await.map_err(SpawnError::Speak)?;
    let ours = server::program()
        .map_err(|source| SpawnError::Directory { path: "/proc/self/exe".into(), source })?;
    Ok(hello.is_some_and(|hello| hello.program == ours))
}

/// Has the one that is there, if any, leave, and waits until it has.
pub async fn dismiss(client: &Client) -> Result<(), SpawnError> {
    match client.leave().await {
        Ok(()) | Err(ClientError::Gone(_)) => {}
        Err(error) => return Err(SpawnError::Speak(error)),
    }
    gone(client).await
}

/// Returns when the supervisor's process and its shim have ended.
pub async fn gone(client: &Client) -> Result<(), SpawnError> {
    let directory = client.directory();
    match shim::ended(directory, &directory.join("exit.json")).await {
        Ok(_) | Err(ShimError::Gone { .. }) => Ok(()),
        Err(error) => Err(SpawnError::Start(error)),
    }
}

/// Waits for one that is only just starting: whoever wanted it may have been killed
/// meanwhile, and it minds the stack all the same. Whether there is one that can be
/// spoken to, or none.
fn settle(directory: &Path) -> io::Result<bool> {
    shim::settle(directory)?;
    let news = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    news.add_watch(directory, AddWatchFlags::IN_CREATE | AddWatchFlags::IN_ATTRIB)?;
    let end = Instant::now() + START;
    loop {
        let Some(alive) = shim::look(directory).filter(|alive| alive.process) else {
            return Ok(true);
        };
        if listens(directory)? {
            return Ok(true);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let status = alive.status;
        let process = shim::process::watch(status.pid, status.start_time)?;
        let ended = process.as_ref().map(|it| PollFd::new(it.as_fd(), PollFlags::POLLIN));
        let made = PollFd::new(news.as_fd(), PollFlags::POLLIN);
        let mut set: Vec<PollFd<'_>> = [made].into_iter().chain(ended).collect();
        match poll(&mut set, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        while news.read_events().is_ok_and(|events| !events.is_empty()) {}
    }
}

/// Whether somebody listens at the socket.
fn listens(directory: &Path) -> io::Result<bool> {
    let directory = File::open(directory)?;
    match UnixStream::connect(server::short_path(&directory)) {
        Err(error) => {
            Ok(!matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused))
        }
        Ok(_) => Ok(true),
    }
}

fn lock(directory: &Path) -> io::Result<File> {
    let lock = file_lock::exclusive(&directory.join(STARTING))?;
    // Nothing lies in it yet.
    fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    Ok(lock)
}

fn spec(directories: &Directories, stack: &StackName, directory: &Path) -> ShimSpec {
    let argv = ["windlass", "--project-name", stack.as_str(), "supervise"];
    ShimSpec {
        version: shim::VERSION,
        label: format!("supervisor of {stack}"),
        run_directory: directory.to_owned(),
        log_directory: Some(directory.join("log")),
        exit_file: directory.join("exit.json"),
        cgroup: None,
        interfaces: Vec::new(),
        payload: Payload::Program(ProgramPayload {
            argv: argv.map(str::to_owned).to_vec(),
            environment: environment(directories),
            working_directory: "/".into(),
            user: None,
            follow: None,
            says_ready: true,
            dies_with_shim: false,
        }),
    }
}

/// The caller's own: registries' credentials, proxies and the like are found by it.
fn environment(directories: &Directories) -> BTreeMap<String, String> {
    let own = std::env::vars_os();
    let mut environment: BTreeMap<String, String> = own
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    // A relative one would mean something else from `/`.
    for (name, path) in [("WINDLASS_CACHE", &directories.cache)] {
        if let Ok(path) = std::path::absolute(path) {
            environment.insert(name.into(), path.display().to_string());
        }
    }
    environment
}
