//! A stack, the repository that it follows and the loop that follows it, gone
//! without trace afterwards.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

use crate::scenario::{Ran, Scenario};

/// A stack, the repository it follows, and the loop.
pub(crate) struct Followed {
    pub(crate) stack: Scenario,
    running: Option<Running>,
    /// Of the loop: variables besides those of every command.
    pub(crate) environment: Vec<(String, String)>,
}

/// A running loop, and what it says.
struct Running {
    program: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Followed {
    /// A repository whose first commit is this stack file; nobody follows it yet.
    pub(crate) fn new(name: &str, stack_file: &str) -> Option<Self> {
        Scenario::containers(name, "services: {}\n").map(|stack| Self::of(stack, stack_file))
    }

    pub(crate) fn of(stack: Scenario, stack_file: &str) -> Self {
        let followed = Self { stack, running: None, environment: Vec::new() };
        fs::create_dir_all(followed.repository()).expect("a directory");
        followed.git(&["init", "--quiet", "--initial-branch=main"]);
        followed.commit("First", stack_file);
        followed.settings("");
        followed
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.stack.project().join("repository")
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.stack.home().join("lib/gitops").join(self.stack.name())
    }

    /// Writes the gitops file; `more` goes under its keys.
    pub(crate) fn settings(&self, more: &str) {
        let text = format!(
            "repo: ./repository\nref: main\nname: {}\ninterval: 1h\n{more}",
            self.stack.name()
        );
        self.stack.write("gitops.yaml", &text);
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .current_dir(self.repository())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .args(["-c", "user.name=Test", "-c", "user.email=test@example.org"])
            .args(arguments)
            .output()
            .expect("git runs");
        assert!(output.status.success(), "git {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    /// Commits this stack file; the commit. `IMAGE` and `SHARED` in it become paths.
    pub(crate) fn commit(&self, subject: &str, stack_file: &str) -> String {
        let project = self.stack.project();
        let path = |name: &str| project.join(name).display().to_string();
        let text = stack_file.replace("IMAGE", &path("image")).replace("SHARED", &path("shared"));
        fs::create_dir_all(path("shared")).expect("a directory");
        fs::write(self.repository().join("windlass.yaml"), text).expect("written");
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", subject]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Starts the loop; returns when it follows.
    pub(crate) fn follow(&mut self) {
        let mut program = self
            .stack
            .command(&["gitops", "run", "gitops.yaml"])
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let lines = BufReader::new(program.stderr.take().expect("piped")).lines();
        let (sender, receiver) = channel();
        // Somebody must read, or the loop stands still when the pipe is full.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                drop(sender.send(line));
            }
        });
        self.running = Some(Running { program, lines: receiver, said: Vec::new() });
        self.until(" follows ");
    }

    /// Reads on until a line has this in it; that line.
    pub(crate) fn until(&mut self, needle: &str) -> String {
        let running = self.running.as_mut().expect("it runs");
        for line in &running.lines {
            running.said.push(line.clone());
            if line.contains(needle) {
                return line;
            }
        }
        panic!("it ended before it said `{needle}`: {:#?}", running.said);
    }

    /// Everything it has said so far.
    pub(crate) fn said(&mut self) -> String {
        let running = self.running.as_mut().expect("it runs");
        running.said.extend(running.lines.try_iter());
        running.said.join("\n")
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let program = &self.running.as_ref().expect("it runs").program;
        rustix::process::kill_process(rustix::process::Pid::from_child(program), signal)
            .expect("told");
    }

    /// Ends the loop by a signal and returns when it is gone.
    pub(crate) fn end(&mut self, signal: rustix::process::Signal) -> Option<i32> {
        self.signal(signal);
        let mut running = self.running.take().expect("it runs");
        running.program.wait().expect("ended").code()
    }

    pub(crate) fn gitops(&self, arguments: &[&str]) -> Ran {
        let arguments: Vec<&str> = ["gitops"].iter().chain(arguments).copied().collect();
        self.stack.run(&arguments)
    }

    /// Has it fetch, and insists on how that ends.
    pub(crate) fn sync(&self, code: i32) -> Ran {
        let ran = self.gitops(&["sync"]);
        assert_eq!(ran.code, code, "{}\n{}", ran.stdout, ran.stderr);
        ran
    }

    pub(crate) fn status(&self) -> Value {
        let ran = self.gitops(&["status", "--format", "json"]);
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stderr))
    }

    /// The subject of what runs.
    pub(crate) fn runs(&self) -> String {
        self.status()["running"]["revision"]["subject"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let rows = self.stack.ps();
        let mut names: Vec<String> =
            rows.iter().map(|row| row["Name"].as_str().expect("a name").to_owned()).collect();
        names.sort();
        names
    }

    /// A variable of an instance's first process.
    pub(crate) fn variable(&self, name: &str, variable: &str) -> String {
        let path = format!("/proc/{}/environ", self.stack.pid(name));
        let environment = fs::read_to_string(path).expect("it runs");
        let prefix = format!("{variable}=");
        let found = environment.split('\0').find_map(|pair| pair.strip_prefix(&prefix));
        found.unwrap_or_default().to_owned()
    }

    /// Ends the loop, takes the stack down, and checks that nothing is left.
    pub(crate) fn finish(mut self) {
        if self.running.is_some() {
            assert_eq!(self.end(rustix::process::Signal::TERM), Some(0));
        }
        let tree = self.directory().join("tree");
        let arguments = ["down", "-v", "--remove-orphans", "--adopt", "-t", "0"];
        let down = self.stack.run_in(&tree, &arguments);
        assert_eq!(down.code, 0, "{}", down.stderr);
        assert_eq!(self.stack.leftovers(), [""; 0]);
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        // Before the stack is taken down, or it would be brought up again.
        if let Some(running) = &mut self.running {
            drop(running.program.kill());
            drop(running.program.wait());
            if std::thread::panicking() {
                let said: Vec<String> = running.lines.try_iter().collect();
                #[expect(clippy::print_stderr, reason = "what a failed test wants to know")]
                {
                    eprintln!("the loop said: {:#?} {said:#?}", running.said);
                }
            }
        }
    }
}

pub(crate) const SHOP: &str = "
services:
  db: { image: IMAGE, stop_grace_period: 100ms, environment: { LEVEL: one } }
  web: { image: IMAGE, stop_grace_period: 100ms, environment: { LEVEL: one } }
";

/// The same with another value for `web`.
pub(crate) fn shop(web: &str) -> String {
    let (db, rest) = SHOP.split_once("  web:").expect("two services");
    format!("{db}  web:{}", rest.replace("one", web))
}
