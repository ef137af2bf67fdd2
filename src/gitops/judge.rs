//! What a revision would do, found out before anything of it is in place.
//!
//! A process of its own leaves the host's mount namespace and lays the candidate
//! over the tree, for itself alone: every path in the candidate then means what
//! it will mean. In there it reads the stack file and makes the ordinary plan. It
//! changes nothing.

use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::decide::{Trouble, Verdict};
use super::file::{Policy, Settings};
use super::gates;
use super::store::Store;
use crate::diagnostic::chain;
use crate::plan::{Options, Plan, Wait};
use crate::reconcile::{Goal, ReconcileError, look_and_plan};
use crate::spec::{self, Disk, Failed, Files, Source};
use crate::stack::vm::Accel;
use crate::stack::{self, Read};
use crate::state::Directories;
use crate::state::project::{self, Owner};
use crate::world::World;

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// The process could not be started or spoken to.
    #[error("cannot judge a revision")]
    Process(#[source] io::Error),
    /// It ended without a word.
    #[error("judging a revision ended without a word: {0}")]
    Silent(String),
    /// It said something that is not understood.
    #[error("judging a revision said what is not understood")]
    Answer(#[source] serde_json::Error),
}

/// What is to be judged.
#[derive(Debug, Serialize, Deserialize)]
pub struct Question {
    settings: Settings,
    lib: PathBuf,
    run: PathBuf,
    cache: PathBuf,
    accel: Accel,
    tree: PathBuf,
    candidate: PathBuf,
    rewrites: Option<String>,
}

impl Question {
    /// What the files in the store's candidate would do in its tree.
    pub fn new(
        settings: &Settings,
        directories: &Directories,
        store: &Store,
        accel: Accel,
        rewrites: Option<String>,
    ) -> Self {
        let Directories { lib, run, cache } = directories.clone();
        let (settings, tree, candidate) = (settings.clone(), store.tree(), store.candidate());
        Self { settings, lib, run, cache, accel, tree, candidate, rewrites }
    }

    /// Has it judged by a process of its own.
    pub async fn ask(&self) -> Result<Verdict, JudgeError> {
        std::fs::create_dir_all(&self.tree).map_err(JudgeError::Process)?;
        let question = serde_json::to_vec(self).map_err(JudgeError::Answer)?;
        let mut process = Command::new("/proc/self/exe")
            .args(["internal", "judge"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(JudgeError::Process)?;
        if let Some(mut input) = process.stdin.take() {
            input.write_all(&question).await.map_err(JudgeError::Process)?;
        }
        let output = process.wait_with_output().await.map_err(JudgeError::Process)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            let said = if said.is_empty() { output.status.to_string() } else { said };
            return Err(JudgeError::Silent(said));
        }
        serde_json::from_slice(&output.stdout).map_err(JudgeError::Answer)
    }
}

/// `windlass internal judge`: the question is standard input, the verdict
/// standard output.
pub fn main() -> ExitCode {
    match answer() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever asked reads it.
            drop(writeln!(io::stderr(), "{}", chain(&error).join(": ")));
            ExitCode::FAILURE
        }
    }
}

fn answer() -> Result<(), JudgeError> {
    let mut text = Vec::new();
    io::stdin().lock().read_to_end(&mut text).map_err(JudgeError::Process)?;
    let question: Question = serde_json::from_slice(&text).map_err(JudgeError::Answer)?;
    lay_over(&question.candidate, &question.tree).map_err(JudgeError::Process)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let verdict = runtime.map_err(JudgeError::Process)?.block_on(judge(&question));
    let verdict = serde_json::to_vec(&verdict).map_err(JudgeError::Answer)?;
    io::stdout().lock().write_all(&verdict).map_err(JudgeError::Process)
}

/// For this process alone. What the host mounts or unmounts meanwhile is seen.
fn lay_over(candidate: &Path, tree: &Path) -> io::Result<()> {
    let nothing: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_SLAVE, nothing)?;
    mount(Some(candidate), tree, nothing, MsFlags::MS_BIND, nothing)?;
    Ok(())
}

async fn judge(question: &Question) -> Verdict {
    let settings = &question.settings;
    let read = match read(settings, &question.tree) {
        Ok(read) => read,
        Err(not_read) => return not_read.verdict(),
    };
    let (lib, run, cache) = (question.lib.clone(), question.run.clone(), question.cache.clone());
    let directories = Directories { lib, run, cache };
    let stack = read.stack;
    match project::owner(&directories, &stack.name, &stack.directory) {
        Ok(Owner::Us(_)) => {}
        Ok(Owner::Other(elsewhere)) => {
            let help =
                "take it down there first, or give this one another `name:` in the gitops file";
            return Verdict::Blocked(Trouble::new(elsewhere.to_string(), Some(help)));
        }
        Err(error) => {
            return Verdict::Blocked(Trouble { chain: chain(&error), help: error.help() });
        }
    }
    let world = match World::host(&directories, question.accel) {
        Ok(world) => world,
        Err(error) => return Verdict::Blocked(Trouble { chain: chain(&error), help: None }),
    };
    let goal = Goal::Up(Box::new(stack), options(&settings.policy));
    match look_and_plan(&world, &goal).await {
        Ok(plan) if plan.blocked.is_empty() => {
            let (max, rewrites) = (settings.policy.max_removals, question.rewrites.as_deref());
            Verdict::Possible(gates::gates(&plan, max, rewrites))
        }
        Ok(plan) => Verdict::Blocked(in_the_way(&plan)),
        Err(error) => {
            let help = match &error {
                ReconcileError::State(error) => error.help(),
                ReconcileError::Look(error) | ReconcileError::Facts(error) => error.help.clone(),
                ReconcileError::Blocked(_) | ReconcileError::Refused(..) => None,
            };
            Verdict::Blocked(Trouble { chain: chain(&error), help })
        }
    }
}

/// What stands in a plan's way, in words.
pub fn in_the_way(plan: &Plan) -> Trouble {
    let reasons = plan.blocked.iter().map(|blocked| {
        let what = gates::words(&blocked.resource);
        format!("{what}: {}", blocked.reason)
    });
    let chain = vec![reasons.collect::<Vec<_>>().join("; ")];
    Trouble { chain, help: plan.blocked.iter().find_map(|blocked| blocked.help.clone()) }
}

/// What every plan of a loop is made with.
pub fn options(policy: &Policy) -> Options {
    Options { remove_orphans: policy.prune, wait: Wait::All, ..Options::default() }
}

/// Why the stack file in a tree could not be read.
#[derive(Debug, thiserror::Error)]
pub enum NotRead {
    /// There is none.
    #[error("there is no stack file `{0}` in the repository")]
    Missing(String),
    /// It is outside of the repository.
    #[error("`{0}` leads out of the repository")]
    Leaves(String),
    /// What this host is to provide is not there.
    #[error("cannot read the `env_file` `{path}`", path = .0.display())]
    EnvFile(PathBuf, #[source] io::Error),
    /// It is wrong.
    #[error("{summary}")]
    Wrong {
        /// In a line.
        summary: String,
        /// Each thing, with its place.
        failed: Box<Failed>,
    },
}

impl NotRead {
    /// What it means for a revision.
    pub fn verdict(self) -> Verdict {
        let summary = self.to_string();
        match self {
            Self::Missing(_) => {
                let help = "`path` in the gitops file says where it is";
                let details = format!("error: {summary}\n  help: {help}");
                Verdict::Wrong { summary: "it has no stack file there".to_owned(), details }
            }
            Self::Leaves(_) => {
                let help = "no link in its path may lead to a file of this host";
                let details = format!("error: {summary}\n  help: {help}");
                Verdict::Wrong { summary: "its stack file is not in it".to_owned(), details }
            }
            Self::EnvFile(..) => {
                let help = "it lies on this host; the gitops file names it";
                Verdict::Blocked(Trouble { chain: chain(&self), help: Some(help.to_owned()) })
            }
            Self::Wrong { failed, .. } => {
                let details = failed.diagnostics.render(&failed.sources, false);
                Verdict::Wrong { summary, details }
            }
        }
    }
}

/// Reads the stack file in `tree`. `COMPOSE_…` variables of whoever started the
/// loop are nobody's wish: a revision means the same in a shell and in a unit.
pub fn read(settings: &Settings, tree: &Path) -> Result<Read, NotRead> {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| !name.starts_with("COMPOSE_"))
        .collect();
    let written = settings.path.as_deref().map(|path| path.display().to_string());
    let missing = || NotRead::Missing(written.clone().unwrap_or_else(|| "windlass.yaml".into()));
    let given = settings.path.as_ref().map_or_else(|| tree.to_owned(), |path| tree.join(path));
    let (directory, named) =
        if given.is_dir() { (given, Vec::new()) } else { (tree.to_owned(), vec![given]) };
    let mut source: Source =
        spec::find(&directory, &named, &environment, &Disk).map_err(|_| missing())?;
    let inside = tree.canonicalize().map_err(|_| missing())?;
    for file in &source.files {
        // Above the tree nothing is the repository's.
        let file = file.strip_prefix(tree).map_err(|_| missing())?;
        let real = tree.join(file).canonicalize().map_err(|_| missing())?;
        if !real.starts_with(&inside) {
            return Err(NotRead::Leaves(file.display().to_string()));
        }
    }
    if let Some(env_file) = &settings.env_file {
        let readable = std::fs::File::open(env_file);
        readable.map_err(|error| NotRead::EnvFile(env_file.clone(), error))?;
        let own = source.project_directory.join(".env");
        // What this host says counts for more.
        source.env_files = Some(own).filter(|own| Disk.exists(own)).into_iter().collect();
        source.env_files.push(env_file.clone());
    }
    source.project_name = Some(settings.name.to_string());
    source.profiles.clone_from(&settings.profiles);
    let mut read = stack::read(&source, &Disk).map_err(|failed| {
        let file = source.files.first();
        let shown = file.map(|file| file.strip_prefix(tree).unwrap_or(file).display().to_string());
        let summary = failed.diagnostics.summary(&shown.unwrap_or_default());
        NotRead::Wrong { summary, failed: Box::new(failed) }
    })?;
    read.drift_by_default(settings.policy.drift);
    Ok(read)
}
