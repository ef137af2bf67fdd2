//! `gitops`: a stack that follows a git repository. The loop is
//! [`crate::gitops::run`]; here it is given hands, asked for things, and shown.

mod hands;
mod status;

use std::path::{Path, PathBuf};

use tokio::signal::unix::{SignalKind, signal};

use super::arguments::{GitOps, GitOpsCommand};
use super::autostart::{environment, other_home, systemd};
use super::{CommandError, Exit, Invocation, block_on, interrupt, project};
use crate::gitops::decide::{self, NotApproved};
use crate::gitops::git::GitError;
use crate::gitops::git::program::{self, Program};
use crate::gitops::record::{Approval, Record, Standing};
use crate::gitops::run::{Loop, RunError, follows};
use crate::gitops::store::Only;
use crate::gitops::unit::{self, Unit};
use crate::gitops::{Settings, Store, file};
use crate::stack::StackName;
use hands::HandsOfHost;

/// Why `gitops` could not do it.
#[derive(Debug, thiserror::Error)]
pub enum GitOpsError {
    /// No stack follows a repository.
    #[error("no stack of this host follows a repository")]
    None,
    /// The one that was named does not.
    #[error("`{0}` does not follow a repository")]
    NotThis(StackName),
    /// Several do.
    #[error("several stacks follow a repository: {}", .0.join(", "))]
    Several(Vec<String>),
    /// No loop runs that would do it.
    #[error("nobody follows the repository of `{0}` now")]
    NoLoop(StackName),
    /// A loop runs already.
    #[error("`{stack}` is followed already{}", by(*.pid))]
    Runs {
        /// The stack.
        stack: StackName,
        /// Its loop.
        pid: Option<u32>,
    },
    /// A loop runs that no unit started.
    #[error("`{stack}` is still followed{}", by(*.pid))]
    RunsStill {
        /// The stack.
        stack: StackName,
        /// Its loop.
        pid: Option<u32>,
    },
    /// What is needed of git.
    #[error(transparent)]
    Git(#[from] GitError),
    /// systemd is not there.
    #[error("systemd does not run here")]
    NoSystemd {
        /// What to run instead.
        file: PathBuf,
    },
    /// It does nothing now.
    #[error("`{0}` is suspended")]
    Suspended(StackName),
    /// What was to be approved does not wait.
    #[error(transparent)]
    NotApproved(#[from] NotApproved),
    /// The loop has ended.
    #[error(transparent)]
    Run(#[from] RunError),
}

fn by(pid: Option<u32>) -> String {
    pid.map(|pid| format!(", by process {pid}")).unwrap_or_default()
}

impl GitOpsError {
    /// Which line of the table of exit codes it is.
    pub fn exit(&self) -> Exit {
        match self {
            Self::None | Self::NotThis(_) | Self::Several(_) => Exit::Usage,
            Self::NoSystemd { .. } | Self::Git(_) => Exit::Unavailable,
            Self::NoLoop(_)
            | Self::Runs { .. }
            | Self::RunsStill { .. }
            | Self::Suspended(_)
            | Self::NotApproved(_) => Exit::Refused,
            Self::Run(_) => Exit::Failed,
        }
    }

    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::None | Self::NotThis(_) => {
                "`windlass gitops install FILE` has one follow a repository".to_owned()
            }
            Self::Several(names) => {
                let first = names.first().map_or("NAME", String::as_str);
                format!("say which: `windlass -p {first} gitops …`")
            }
            Self::NoLoop(_) => {
                "`windlass gitops install FILE` or `windlass gitops run FILE` does".to_owned()
            }
            Self::Runs { stack, .. } => format!(
                "`windlass -p {stack} gitops status` shows it; \
                 `windlass -p {stack} gitops uninstall` ends an installed one"
            ),
            Self::RunsStill { .. } => "end it first: no unit started it".to_owned(),
            Self::Git(error) => return error.help(),
            Self::NoSystemd { file } => format!(
                "have whatever starts services here run `windlass gitops run {}`",
                file.display()
            ),
            Self::Suspended(stack) => format!("`windlass -p {stack} gitops resume` goes on"),
            Self::NotApproved(_) => "`windlass gitops status` shows what waits".to_owned(),
            Self::Run(RunError::State(error)) => return error.help(),
            Self::Run(RunError::Deaf(_)) => return None,
        })
    }
}

pub(super) fn run(invocation: &Invocation, arguments: &GitOps) -> Result<Exit, CommandError> {
    match &arguments.command {
        GitOpsCommand::Install { file } => install(invocation, file),
        GitOpsCommand::Uninstall => uninstall(invocation),
        GitOpsCommand::Run { file } => block_on(follow(invocation, file)),
        GitOpsCommand::Status { format } => {
            let (stack, store) = chosen(invocation)?;
            status::run(invocation, &stack, &store, *format)
        }
        GitOpsCommand::Sync => block_on(sync(invocation)),
        GitOpsCommand::Suspend => suspend(invocation, true),
        GitOpsCommand::Resume => suspend(invocation, false),
        GitOpsCommand::Approve { commit } => approve(invocation, commit),
    }
}

/// Refuses to take away by hand what a loop would bring up again.
pub(super) fn refuse_by_hand(
    invocation: &Invocation,
    stack: &StackName,
) -> Result<(), CommandError> {
    let store = Store::new(&invocation.directories, stack);
    if !store.follower()?.is_there() || store.wishes()?.suspended {
        return Ok(());
    }
    let followed = store.record()?.map(|record| record.follows).unwrap_or_default();
    Err(CommandError::Refused {
        reason: format!("`{stack}` follows {followed}, which would bring it up again"),
        help: Some(format!("`windlass -p {stack} gitops suspend` first")),
    })
}

fn settings(file: &Path) -> Result<(Settings, PathBuf), CommandError> {
    let wrong = |source| CommandError::File { operation: "read", path: file.to_owned(), source };
    let path = std::path::absolute(file).map_err(wrong)?;
    let text = std::fs::read_to_string(&path).map_err(wrong)?;
    let settings = file::parse(&path, &text).map_err(|failed| {
        let shown = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
        let summary = failed.diagnostics.summary(&shown);
        CommandError::StackFile { summary, failed: Box::new(failed) }
    })?;
    let named = [&settings.env_file, &settings.deploy_key, &settings.known_hosts];
    for path in named.into_iter().flatten() {
        let opened = std::fs::File::open(path);
        opened.map_err(|source| CommandError::File {
            operation: "read",
            path: path.clone(),
            source,
        })?;
    }
    Ok((settings, path))
}

/// The stack that is meant: the one that was named, or the only one.
fn chosen(invocation: &Invocation) -> Result<(StackName, Store), CommandError> {
    let mut stacks = invocation.directories.gitops_stacks()?;
    let stack = if invocation.global.project_name.is_some() {
        let stack = project::name(invocation)?;
        if !stacks.contains(&stack) {
            return Err(GitOpsError::NotThis(stack).into());
        }
        stack
    } else {
        match stacks.len() {
            0 => return Err(GitOpsError::None.into()),
            1 => stacks.remove(0),
            _ => {
                let names = stacks.iter().map(ToString::to_string).collect();
                return Err(GitOpsError::Several(names).into());
            }
        }
    };
    let store = Store::new(&invocation.directories, &stack);
    Ok((stack, store))
}

fn unit_name(invocation: &Invocation, stack: &StackName) -> String {
    unit::name(stack, other_home(invocation).as_deref())
}

fn install(invocation: &Invocation, file: &Path) -> Result<Exit, CommandError> {
    let (settings, file) = settings(file)?;
    let systemd = systemd();
    if !systemd.runs() && !systemd.is_elsewhere() {
        return Err(GitOpsError::NoSystemd { file }.into());
    }
    program::check().map_err(GitOpsError::from)?;
    let program = std::env::current_exe()
        .map_err(|source| CommandError::Setup { what: "the unit", source })?;
    let local = Some(PathBuf::from(&settings.repo)).filter(|repo| repo.is_absolute());
    let named = [&settings.env_file, &settings.deploy_key, &settings.known_hosts, &local];
    let text = Unit {
        stack: &settings.name,
        follows: &follows(&settings),
        program: &program,
        file: &file,
        needs: std::iter::once(&invocation.directories.lib)
            .chain([&file])
            .chain(named.into_iter().flatten())
            .map(PathBuf::as_path)
            .collect(),
        environment: environment(),
    }
    .text();
    // There from now on, so that `status` and the rest know of it.
    drop(Store::new(&invocation.directories, &settings.name).take()?);
    let name = unit_name(invocation, &settings.name);
    systemd.install_anew(&name, &text)?;
    let (screen, stack, path) = (&invocation.screen, &settings.name, systemd.path(&name));
    if systemd.runs() {
        screen.say(&format!("{stack} follows {} ({name})", follows(&settings)));
        screen.note(&format!("`windlass -p {stack} gitops status` shows how far it is"));
    } else {
        screen.say(&format!("wrote {}", path.display()));
    }
    Ok(Exit::Done)
}

fn uninstall(invocation: &Invocation) -> Result<Exit, CommandError> {
    let (stack, store) = chosen(invocation)?;
    let removed = systemd().remove_and_stop(&unit_name(invocation, &stack))?;
    let follower = store.follower()?;
    if follower.is_there() {
        return Err(GitOpsError::RunsStill { stack, pid: follower.pid() }.into());
    }
    let screen = &invocation.screen;
    if invocation.directories.stack(&stack).is_dir() {
        // Bind mounts of what runs lie in its tree.
        screen.say(&format!("{stack} is followed no longer; what runs goes on"));
        screen.note(&format!(
            "`windlass -p {stack} down` takes it down; \
             `windlass -p {stack} gitops uninstall` then takes its files away"
        ));
    } else {
        store.remove()?;
        let unit = if removed { " and its unit" } else { "" };
        screen.say(&format!("took the repository of {stack}{unit} away"));
    }
    Ok(Exit::Done)
}

async fn follow(invocation: &Invocation, file: &Path) -> Result<Exit, CommandError> {
    let (settings, _) = settings(file)?;
    let setup = |source| CommandError::Setup { what: "the handler of SIGHUP", source };
    let hurry = signal(SignalKind::hangup()).map_err(setup)?;
    let store = Store::new(&invocation.directories, &settings.name);
    let _lock = match store.take()? {
        Only::Us(lock) => lock,
        Only::Other(holder) => {
            let (stack, pid) = (settings.name.clone(), holder.map(|holder| holder.pid));
            return Err(GitOpsError::Runs { stack, pid }.into());
        }
    };
    let stop = interrupt::listen_to_leave()?;
    let program = Program::new(&settings, &store);
    let hands = HandsOfHost {
        invocation,
        settings: &settings,
        store: &store,
        accel: project::accelerator()?,
        stop: stop.clone(),
    };
    let screen = &invocation.screen;
    screen.say(&format!("{} follows {}", settings.name, follows(&settings)));
    let looped = Loop::new(&settings, &store, &program, &hands, stop)?;
    looped.run(hurry).await.map_err(GitOpsError::Run)?;
    screen.say(&format!("{} is followed no longer; what runs goes on", settings.name));
    Ok(Exit::Done)
}

/// Has the loop fetch now, and waits until nothing is left to do.
async fn sync(invocation: &Invocation) -> Result<Exit, CommandError> {
    let (stack, store) = chosen(invocation)?;
    if store.wishes()?.suspended {
        return Err(GitOpsError::Suspended(stack).into());
    }
    let follower = store.follower()?;
    if !follower.is_there() {
        return Err(GitOpsError::NoLoop(stack).into());
    }
    let mut stop = interrupt::listen_to_leave()?;
    let watch = store.watch()?;
    let wishes = store.wish(|wishes, serial| wishes.sync = serial)?;
    let ended = hands::ended(follower.pid());
    tokio::pin!(ended);
    loop {
        let record = store.record()?;
        if let Some(record) = record.filter(|record| record.heard >= wishes.serial) {
            return Ok(status::outcome(invocation, &record));
        }
        if store.wishes()?.suspended {
            return Err(GitOpsError::Suspended(stack).into());
        }
        tokio::select! {
            changed = watch.changed() => changed.map_err(|source| CommandError::Setup {
                what: "the wait for the loop", source,
            })?,
            () = &mut ended => return Err(GitOpsError::NoLoop(stack).into()),
            _ = stop.wait_for(|stop| *stop) => return Err(CommandError::Interrupted),
        }
    }
}

fn suspend(invocation: &Invocation, suspended: bool) -> Result<Exit, CommandError> {
    let (stack, store) = chosen(invocation)?;
    let screen = &invocation.screen;
    if store.wishes()?.suspended == suspended {
        let already = if suspended { "suspended already" } else { "not suspended" };
        screen.say(&format!("{stack} is {already}"));
        return Ok(Exit::Done);
    }
    store.wish(|wishes, _| wishes.suspended = suspended)?;
    let working = store.record()?.and_then(|record| record.intention);
    match (suspended, store.follower()?.is_there()) {
        (true, runs) => {
            screen.say(&format!("{stack} is suspended: it stays as it is until `gitops resume`"));
            if let Some(intention) = working.filter(|_| runs) {
                screen.note(&format!("what is being done with {} ends first", intention.revision));
            }
        }
        (false, true) => screen.say(&format!("{stack} is followed again")),
        (false, false) => {
            screen.say(&format!("{stack} is not suspended any more"));
            screen.note("nobody follows its repository now: `windlass gitops run FILE` does");
        }
    }
    Ok(Exit::Done)
}

fn approve(invocation: &Invocation, commit: &str) -> Result<Exit, CommandError> {
    let (stack, store) = chosen(invocation)?;
    let record: Record = store.record()?.ok_or(GitOpsError::NotApproved(NotApproved::Nothing))?;
    let (revision, gates) = decide::approvable(&record, commit).map_err(GitOpsError::from)?;
    let screen = &invocation.screen;
    for reason in gates.reasons() {
        screen.say(&format!("  {reason}"));
    }
    let commit = revision.commit.clone();
    store.wish(|wishes, serial| wishes.approval = Some(Approval { serial, commit, gates }))?;
    let again = matches!(record.head.map(|head| head.standing), Some(Standing::Failed { .. }));
    let what = if again { "is tried again" } else { "is let through" };
    let when = if store.wishes()?.suspended {
        format!(", after `windlass -p {stack} gitops resume`")
    } else if !store.follower()?.is_there() {
        ", when its repository is followed again".to_owned()
    } else {
        String::new()
    };
    screen.say(&format!("{revision} {what}{when}"));
    Ok(Exit::Done)
}
