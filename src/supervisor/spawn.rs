//! Has a supervisor run for a stack: under a shim of its own, so that it is
//! nobody's child, keeps a log, and outlives the command that wanted it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::client::{Client, ClientError};
use super::server;
use crate::shim::{self, Launcher, Payload, ProgramPayload, ShimError, ShimSpec};
use crate::stack::StackName;
use crate::state::Directories;

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

fn lock(directory: &Path) -> io::Result<File> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(directory.join("starting"))?;
    file.lock()?;
    Ok(file)
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
