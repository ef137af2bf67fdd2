//! What nobody may touch: a stack of another home that runs all the while, and
//! things on the host that belong to nobody, some in places and under names that
//! ours might have had.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use windlass::stack::StackName;
use windlass::state::{Directories, names};

use crate::commands::{host, processes};
use crate::scenario::Scenario;

const FOREIGN: &str = "
services:
  quiet: { image: ./image, volumes: ['kept:/srv'], stop_grace_period: 100ms }
  door:
    image: ./image
    command: [httpd, -f, -p, '8000', -h, /data]
    ports: ['127.0.0.1::8000']
    restart: always
    stop_grace_period: 100ms
volumes: { kept: {} }
";

/// The stack of another home, and what is nobody's.
pub(crate) struct Bystanders {
    nobody: Nobody,
    foreign: Scenario,
    before: Vec<String>,
}

impl Bystanders {
    /// Brought up; `home` and `stack` are those that are harmed.
    pub(crate) fn beside(home: &Path, stack: &str) -> Self {
        let foreign = Scenario::new("bystander", FOREIGN);
        foreign.ok(&["up", "-d"]);
        let mut bystanders =
            Self { nobody: Nobody::near(home, stack), foreign, before: Vec::new() };
        bystanders.before = bystanders.seen();
        bystanders
    }

    /// Insists on it being exactly as it was.
    pub(crate) fn check(&self) {
        let now = self.seen();
        let gone =
            self.before.iter().filter(|line| !now.contains(line)).map(|it| format!("- {it}"));
        let new = now.iter().filter(|line| !self.before.contains(line)).map(|it| format!("+ {it}"));
        let differences: Vec<String> = gone.chain(new).collect();
        assert!(differences.is_empty(), "a bystander was touched:\n{}", differences.join("\n"));
    }

    /// Takes the foreign stack down; nothing of it may be left.
    pub(crate) fn finish(self) {
        self.foreign.finish();
    }

    fn seen(&self) -> Vec<String> {
        let home = self.foreign.home();
        let supervises = format!("--project-name {} supervise", self.foreign.name());
        let supervisor = processes(&supervises).into_iter();
        let mut seen: Vec<String> = processes(&home.to_string_lossy())
            .into_iter()
            .chain(supervisor)
            .map(|(pid, line)| format!("process {pid} since {} {line}", started(pid)))
            .collect();
        seen.extend(links(&format!(":{}:", self.foreign.name()), &self.nobody.bridge));
        for table in [self.table(), self.nobody.table.clone()] {
            let rules = host("nft", &["-s", "list", "table", "inet", &table]);
            seen.extend(rules.lines().map(|line| format!("{table} {line}")));
        }
        for root in [home, self.foreign.project(), self.nobody.files.clone(), self.nobody.volume()]
        {
            files(&root, &mut seen);
        }
        seen
    }

    fn table(&self) -> String {
        let directories = Directories::new(Some(&self.foreign.home()), None);
        let stack = StackName::new(self.foreign.name()).expect("a valid name");
        names::table(&directories.home_id(), &stack)
    }
}

/// A bridge whose name begins like ours and has no label, a table, and files
/// among ours: nobody's, so nobody may take them away.
struct Nobody {
    bridge: String,
    table: String,
    files: PathBuf,
    home: PathBuf,
}

impl Nobody {
    fn near(home: &Path, stack: &str) -> Self {
        let nobody = Self::named(home, stack, &std::process::id().to_string());
        host("ip", &["link", "add", &nobody.bridge, "type", "bridge"]);
        host("nft", &["add", "table", "inet", &nobody.table]);
        host("nft", &["add", "chain", "inet", &nobody.table, "stays"]);
        for directory in [&nobody.files, &nobody.volume()] {
            fs::create_dir_all(directory).expect("a directory");
            fs::write(directory.join("file"), "nobody's\n").expect("a file");
        }
        nobody
    }

    fn named(home: &Path, stack: &str, test: &str) -> Self {
        let directories = Directories::new(Some(home), None);
        let stack = StackName::new(stack).expect("a valid name");
        let prefix = names::interfaces(&directories.home_id(), &stack);
        Self {
            bridge: format!("{prefix}nobody"),
            table: format!("windlass_nobody_{test}"),
            files: home.join("nobodys"),
            home: home.to_owned(),
        }
    }

    /// Where volumes lie, without a word whose it is.
    fn volume(&self) -> PathBuf {
        self.home.join("lib/volumes/nobodys/data")
    }
}

impl Drop for Nobody {
    fn drop(&mut self) {
        for (program, line) in [
            ("ip", ["link", "delete", &self.bridge].as_slice()),
            ("nft", ["delete", "table", "inet", &self.table].as_slice()),
        ] {
            drop(std::process::Command::new(program).args(line).output());
        }
    }
}

/// Takes away what a killed test (by its process) had for nobody.
pub(crate) fn clear(home: &Path, stack: &str, test: &str) {
    drop(Nobody::named(home, stack, test));
}

/// Interfaces that carry the label, or have this name.
fn links(label: &str, name: &str) -> Vec<String> {
    let links: Value = serde_json::from_str(&host("ip", &["-j", "link"])).expect("JSON");
    let words = |link: &Value| {
        let of = |key: &str| link[key].to_string();
        ["ifindex", "ifname", "ifalias", "mtu", "master", "address", "flags"].map(of).join(" ")
    };
    let theirs = |link: &&Value| {
        link["ifname"] == name || link["ifalias"].as_str().is_some_and(|it| it.contains(label))
    };
    links.as_array().expect("a list").iter().filter(theirs).map(words).collect()
}

/// Every file below, with what would tell that somebody wrote to it.
fn files(below: &Path, seen: &mut Vec<String>) {
    for entry in fs::read_dir(below).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        let (inode, length, at) = (found.ino(), found.len(), found.mtime());
        if found.is_dir() {
            seen.push(format!("{} {inode}", path.display()));
            files(&path, seen);
        } else {
            seen.push(format!("{} {inode} {length} bytes, written {at}", path.display()));
        }
    }
}

/// Field 22 of its `/proc/<pid>/stat`: a number that is used again has another.
fn started(pid: i32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = stat.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
    after.split(' ').nth(19).unwrap_or_default().to_owned()
}
