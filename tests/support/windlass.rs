//! One way to run the built `windlass` in a test: a home, a project directory
//! and an environment of its own, and nothing of the caller's.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A place where Windlass runs.
pub(crate) struct Stage {
    root: TempDir,
    unprivileged: bool,
    environment: Vec<(String, String)>,
}

/// What a run left behind.
pub(crate) struct Ran {
    /// Exit code; 128 + signal never: a signal is a failure of the test.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Stage {
    /// An empty home and an empty project directory.
    pub(crate) fn new() -> Self {
        let root = tempfile::Builder::new().prefix("windlass-cli-").tempdir().expect("a directory");
        let stage = Self { root, unprivileged: false, environment: Vec::new() };
        for directory in [stage.home(), stage.project()] {
            std::fs::create_dir(directory).expect("made");
        }
        stage
    }

    /// The state's directory.
    pub(crate) fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// The directory commands run in.
    pub(crate) fn project(&self) -> PathBuf {
        self.root.path().join("project")
    }

    /// A file of the project.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        let path = self.project().join(name);
        std::fs::create_dir_all(path.parent().expect("within the project")).expect("made");
        std::fs::write(path, text).expect("written");
        self
    }

    /// A variable of the environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs as `nobody` from here on. Where the test itself has no root, it
    /// stays what it is.
    pub(crate) fn unprivileged(mut self) -> Self {
        self.unprivileged = true;
        self
    }

    /// Runs `windlass` with these arguments.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = self.command();
        command
            .args(arguments)
            .current_dir(self.project())
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8")
            .env("HOME", self.root.path())
            .env("WINDLASS_HOME", self.home())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(std::process::Stdio::null());
        let output = command.output().expect("it runs");
        self.ran(output)
    }

    fn command(&self) -> Command {
        let built = Path::new(env!("CARGO_BIN_EXE_windlass"));
        if !self.unprivileged || !rustix::process::geteuid().is_root() {
            return Command::new(built);
        }
        // The checkout may be closed to others: run a copy that is not.
        let copy = self.root.path().join("windlass");
        if !copy.exists() {
            std::fs::copy(built, &copy).expect("copied");
            open_to_all(self.root.path());
            open_to_all(&self.project());
            open_to_all(&copy);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(copy);
        command
    }

    /// What was said, without what differs from run to run.
    fn ran(&self, output: Output) -> Ran {
        let root = self.root.path().to_string_lossy().into_owned();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).replace(&root, "[stage]");
        Ran {
            code: output.status.code().expect("no signal ended it"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = if path.is_dir() { 0o777 } else { 0o755 };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("permitted");
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit: {}\n--- stdout\n{}--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}
