//! The `git` program over a bare mirror. It never prompts, and obeys nothing of
//! what it fetched: no hooks, no filters, no submodules, no large files (LFS).
//! The host's own configuration counts: credential helpers and proxies are there.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::Command;

use super::{Git, GitError};
use crate::gitops::file::Settings;
use crate::gitops::record::Revision;
use crate::gitops::source::{is_commit, shown};
use crate::gitops::store::Store;

/// How long a fetch may take as a whole. Servers that send nothing are left sooner.
const FETCH_DEADLINE: Duration = Duration::from_mins(10);

/// Where what was fetched stands until it is known to be good.
const FETCHED: &str = "refs/windlass/fetched";

/// Where what is kept stands.
const KEPT: &str = "refs/windlass/revisions/";

/// What counts for more than any configuration. A repository cannot configure
/// git, but its attributes choose among filters that the host has.
const CONFIGURATION: [&str; 14] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.symlinks=true",
    "core.autocrlf=false",
    "core.askPass=",
    "credential.interactive=false",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "filter.lfs.process=",
    "filter.lfs.smudge=",
    "filter.lfs.required=false",
    // Nothing stays behind in the background.
    "gc.autoDetach=false",
    "maintenance.autoDetach=false",
    "http.lowSpeedLimit=1",
];

/// One repository, by the settings of a gitops file.
#[derive(Debug)]
pub struct Program {
    settings: Settings,
    mirror: PathBuf,
}

impl Program {
    /// The repository of `settings`, mirrored in `store`.
    pub fn new(settings: &Settings, store: &Store) -> Self {
        Self { settings: settings.clone(), mirror: store.mirror() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        // What a caller's environment says of another repository is not meant.
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"GIT_") {
                command.env_remove(name);
            }
        }
        command
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "")
            .env("SSH_ASKPASS_REQUIRE", "never")
            .env("GIT_SSH_COMMAND", self.ssh())
            .env("GIT_LFS_SKIP_SMUDGE", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            // Its words are read.
            .env("LC_ALL", "C.UTF-8")
            .env("GIT_DIR", &self.mirror)
            .stdin(Stdio::null())
            // Whoever it starts goes with it.
            .process_group(0)
            .kill_on_drop(true);
        for setting in CONFIGURATION {
            command.args(["-c", setting]);
        }
        command.args(["-c", "http.lowSpeedTime=60"]).args(arguments);
        command
    }

    fn ssh(&self) -> String {
        let mut words = "ssh -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=15 \
                         -o ServerAliveCountMax=4 -o ForwardAgent=no"
            .to_owned();
        if let Some(key) = &self.settings.deploy_key {
            words.push_str(" -o IdentitiesOnly=yes -o IdentityAgent=none -i ");
            words.push_str(&quoted(key));
        }
        if let Some(known_hosts) = &self.settings.known_hosts {
            let option = format!("UserKnownHostsFile={}", known_hosts.display());
            words.push_str(" -o StrictHostKeyChecking=yes -o GlobalKnownHostsFile=/dev/null -o ");
            words.push_str(&quoted(Path::new(&option)));
        }
        words
    }

    /// Runs it to its end; its output, whatever its exit code is.
    async fn output(&self, mut command: Command) -> Result<Output, GitError> {
        let not_run = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => GitError::Missing,
            _ => GitError::NotRun(error),
        };
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let child = child.map_err(not_run)?;
        let group = Group(child.id());
        let output = child.wait_with_output().await.map_err(GitError::NotRun)?;
        group.has_ended();
        Ok(output)
    }

    /// Runs it and insists on success; what it wrote.
    async fn run(&self, arguments: &[&str]) -> Result<String, GitError> {
        self.run_with(arguments, &[]).await
    }

    async fn run_with(
        &self,
        arguments: &[&str],
        environment: &[(&str, &OsStr)],
    ) -> Result<String, GitError> {
        let mut command = self.command(arguments);
        command.envs(environment.iter().copied());
        let output = self.output(command).await?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let command = arguments.first().copied().unwrap_or_default().to_owned();
        Err(GitError::Failed { command, said: said(&output) })
    }

    async fn has_mirror(&self) -> Result<(), GitError> {
        if self.mirror.join("HEAD").is_file() {
            return Ok(());
        }
        self.run(&["init", "--quiet", "--bare", "--template="]).await.map(drop)
    }

    /// Whether a commit is here.
    async fn knows(&self, commit: &str) -> Result<bool, GitError> {
        let command = self.command(&["cat-file", "-e", &format!("{commit}^{{commit}}")]);
        Ok(self.output(command).await?.status.success())
    }

    async fn revision(&self, name: &str) -> Result<Revision, GitError> {
        let name = format!("{name}^{{commit}}");
        let text =
            self.run(&["log", "-1", "--no-show-signature", "--format=%H%n%s", &name]).await?;
        let mut lines = text.lines();
        Ok(Revision {
            commit: lines.next().unwrap_or_default().to_owned(),
            subject: lines.next().unwrap_or_default().to_owned(),
        })
    }

    fn fetch_failed(&self, output: &Output) -> GitError {
        let (said, repo) = (said(output), shown(&self.settings.repo));
        let said = said.replace(&self.settings.repo, &repo);
        if said.contains("couldn't find remote ref") || said.contains("not our ref") {
            let reference = self.settings.reference.clone().unwrap_or_else(|| "HEAD".to_owned());
            return GitError::NoSuchRef { reference, repo };
        }
        GitError::Fetch { help: help(&said), repo, said }
    }
}

#[async_trait]
impl Git for Program {
    async fn fetch(&self) -> Result<Revision, GitError> {
        if let Some(key) = &self.settings.deploy_key {
            check_key(key)?;
        }
        self.has_mirror().await?;
        let reference = self.settings.reference.as_deref().unwrap_or("HEAD");
        // A commit cannot move: what is here need not be asked for.
        if is_commit(reference)
            && let Ok(revision) = self.revision(reference).await
        {
            return Ok(revision);
        }
        let refspec = format!("+{reference}:{FETCHED}");
        let command = self.command(&[
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--recurse-submodules=no",
            "--",
            &self.settings.repo,
            &refspec,
        ]);
        let fetched = tokio::time::timeout(FETCH_DEADLINE, self.output(command)).await;
        let output = fetched.map_err(|_| GitError::TooLong {
            repo: shown(&self.settings.repo),
            seconds: FETCH_DEADLINE.as_secs(),
        })??;
        if !output.status.success() {
            return Err(self.fetch_failed(&output));
        }
        self.revision(FETCHED).await
    }

    async fn descends(&self, new: &str, old: &str) -> Result<bool, GitError> {
        // One that is not here, because the mirror was lost, is nobody's ancestor.
        if !self.knows(old).await? {
            return Ok(false);
        }
        let command = self.command(&["merge-base", "--is-ancestor", old, new]);
        let output = self.output(command).await?;
        match output.status.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => Err(GitError::Failed { command: "merge-base".to_owned(), said: said(&output) }),
        }
    }

    async fn check_out(&self, commit: &str, tree: &Path) -> Result<(), GitError> {
        std::fs::create_dir_all(tree).map_err(GitError::NotRun)?;
        let index = tree.with_extension("index");
        // Left by one that was killed: whoever calls holds the loop's lock.
        drop(std::fs::remove_file(tree.with_extension("index.lock")));
        let places = [("GIT_INDEX_FILE", index.as_os_str()), ("GIT_WORK_TREE", tree.as_os_str())];
        self.run_with(&["read-tree", "--reset", "-u", commit], &places).await.map(drop)
    }

    async fn keep(&self, commits: &[&str]) -> Result<(), GitError> {
        self.has_mirror().await?;
        let text = self.run(&["for-each-ref", "--format=%(refname)", KEPT]).await?;
        let there: Vec<&str> = text.lines().filter_map(|name| name.strip_prefix(KEPT)).collect();
        for commit in commits.iter().filter(|commit| !there.contains(commit)) {
            // What was lost with a mirror cannot be kept.
            if self.knows(commit).await? {
                self.run(&["update-ref", &format!("{KEPT}{commit}"), commit]).await?;
            }
        }
        for commit in there.iter().filter(|commit| !commits.contains(commit)) {
            self.run(&["update-ref", "-d", &format!("{KEPT}{commit}")]).await?;
        }
        Ok(())
    }

    async fn left_out(&self, commit: &str) -> Result<Vec<String>, GitError> {
        let text = self.run(&["ls-tree", "-r", "-z", "--full-tree", commit]).await?;
        let mut left_out = Vec::new();
        let submodules: Vec<&str> = text
            .split('\0')
            .filter(|line| line.starts_with("160000 "))
            .filter_map(|line| line.split_once('\t').map(|(_, path)| path))
            .collect();
        if !submodules.is_empty() {
            left_out.push(format!("submodules are not fetched: {}", submodules.join(", ")));
        }
        let arguments = ["grep", "-l", "-z", "-e", "filter=lfs", commit, "--", "*.gitattributes"];
        let output = self.output(self.command(&arguments)).await?;
        if output.status.success() {
            left_out.push("large files (LFS) are not fetched: their pointers are there".to_owned());
        }
        Ok(left_out)
    }
}

/// A process group that is killed when nobody waits for it any more.
struct Group(Option<u32>);

impl Group {
    fn has_ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0.and_then(|pid| i32::try_from(pid).ok()) {
            // One that is gone needs no end.
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// As ssh has it: nobody else may read it.
fn check_key(path: &Path) -> Result<(), GitError> {
    let wrong = |why: String, help: String| GitError::Key { path: path.to_owned(), why, help };
    let metadata = std::fs::metadata(path).map_err(|error| {
        wrong(format!("cannot be read: {error}"), "`deploy_key` names a private ssh key".into())
    })?;
    let mode = metadata.permissions().mode() & 0o777;
    if !metadata.is_file() {
        return Err(wrong("is not a file".into(), "`deploy_key` names a private ssh key".into()));
    }
    if mode & 0o077 != 0 {
        let help = format!("run `chmod 600 {}`", path.display());
        return Err(wrong(format!("can be read by others (mode {mode:03o})"), help));
    }
    Ok(())
}

/// What to do about what git said, where that is known.
fn help(said: &str) -> Option<String> {
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let help = if has(&["Host key verification failed"]) {
        "add the server's key to `known_hosts`: `ssh-keyscan HOST` shows it, the server's owner \
         confirms it"
    } else if has(&["Permission denied (publickey"]) {
        "name a key that the server knows as `deploy_key`"
    } else if has(&[
        "terminal prompts disabled",
        "could not read Username",
        "Authentication failed",
    ]) {
        "nobody can be asked for a password: have a credential helper know it \
         (`git help credentials`), or use ssh and a `deploy_key`"
    } else if has(&["dubious ownership"]) {
        "it belongs to somebody else; to trust them: \
         `git config --system --add safe.directory PATH`"
    } else if has(&["Could not resolve host", "Could not resolve hostname"]) {
        "check the address and this host's name server"
    } else {
        return None;
    };
    Some(help.to_owned())
}

/// git's own words, in a line.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text
        .lines()
        .map(|line| line.trim().trim_start_matches("fatal: ").trim_start_matches("error: "))
        .filter(|line| !line.is_empty() && !line.starts_with("hint:"))
        // What follows is advice for whoever sits before it.
        .take_while(|line| !line.starts_with("Please make sure you have the correct access"))
        .collect();
    let unhelpful = |line: &&str| line.starts_with("Could not read from remote repository");
    let telling: Vec<&str> = lines.iter().copied().filter(|line| !unhelpful(line)).collect();
    match if telling.is_empty() { &lines[..] } else { &telling[..] } {
        [] => format!("it ended with {}", output.status),
        lines => lines.join("; "),
    }
}

/// A word as a shell takes it.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// Whether there is a `git` program.
pub fn check() -> Result<(), GitError> {
    let version = std::process::Command::new("git").arg("--version").output();
    match version {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(GitError::Missing),
        Err(error) => Err(GitError::NotRun(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("key");
        assert!(check_key(&key).unwrap_err().to_string().contains("cannot be read"));
        std::fs::write(&key, "secret").unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = check_key(&key).unwrap_err();
        assert!(error.to_string().ends_with("can be read by others (mode 640)"), "{error}");
        assert!(error.help().unwrap().starts_with("run `chmod 600 "));
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        check_key(&key).unwrap();
    }

    #[test]
    fn a_word_stays_one_word() {
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
