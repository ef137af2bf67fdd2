//! The same stack under docker compose, where a Docker daemon and compose
//! happen to be there. Nothing depends on them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::measure::{ROUNDS, absent, answers, median};

const IMAGE: &str = "windlass-bench:latest";
const PROJECT: &str = "windlass-bench";

/// docker compose with the bench's image.
pub(crate) struct Compose {
    /// The program and its first words.
    program: &'static [&'static str],
    project: PathBuf,
}

impl Compose {
    /// `None`, and why on screen, where there is no daemon or no compose.
    pub(crate) fn find(root: &Path, rootfs: &Path) -> Option<Self> {
        let what = "cold up -d / docker compose up -d";
        if !answers("docker", &["info"]) {
            absent(what, "no Docker daemon answers");
            return None;
        }
        let known: [&'static [&'static str]; 2] = [&["docker", "compose"], &["docker-compose"]];
        let found = known
            .into_iter()
            .find(|words| answers(words[0], &[&words[1..], &["version"]].concat()));
        let Some(program) = found else {
            absent(what, "no docker compose is installed");
            return None;
        };
        import(rootfs);
        let project = root.join("compose");
        fs::create_dir_all(&project).expect("made");
        Some(Self { program, project })
    }

    /// A cold `up -d` of so many containers.
    pub(crate) fn cold(&self, count: usize) -> Duration {
        let mut text = format!("name: {PROJECT}\nservices:\n");
        let options = "pull_policy: never, stop_grace_period: 0s";
        for number in 0..count {
            writeln!(text, "  s{number}: {{ image: \"{IMAGE}\", {options} }}")
                .expect("a string takes all");
        }
        fs::write(self.project.join("compose.yaml"), text).expect("written");
        // A hundred take it half a minute each time.
        let rounds = if count < 100 { ROUNDS } else { 1 };
        median((0..rounds).map(|_| {
            let began = Instant::now();
            self.run(&["up", "-d"]);
            let took = began.elapsed();
            self.run(&["down", "-t", "0"]);
            took
        }))
    }

    fn run(&self, arguments: &[&str]) {
        let done = Command::new(self.program[0])
            .args(&self.program[1..])
            .args(arguments)
            .current_dir(&self.project)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(done.expect("compose runs").success(), "compose {arguments:?} failed");
    }
}

impl Drop for Compose {
    fn drop(&mut self) {
        answers("docker", &["image", "rm", "-f", IMAGE]);
    }
}

fn import(rootfs: &Path) {
    let mut tar = Command::new("tar")
        .args(["-c", "-C"])
        .args([rootfs, Path::new(".")])
        .stdout(Stdio::piped())
        .spawn()
        .expect("tar runs");
    let files = tar.stdout.take().expect("its output");
    let change = "CMD [\"/bin/sleep\", \"1000000\"]";
    let imported = Command::new("docker")
        .args(["import", "--change", change, "-", IMAGE])
        .stdin(files)
        .stdout(Stdio::null())
        .status();
    assert!(tar.wait().expect("waited").success(), "tar failed");
    assert!(imported.expect("docker runs").success(), "docker import failed");
}
