//! `windlass logs`: several workloads by time, of either kind, and following
//! until everybody has ended. The logs are written here as a shim writes them.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use crate::records;
use crate::windlass::Stage;
use ::windlass::shim::{Status, VERSION, process};
use ::windlass::stack::{InstanceId, Kind, StackName};
use ::windlass::state::{Directories, atomic};

/// Whether there is root, which `logs` needs; says so where there is none.
fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        #[expect(clippy::print_stdout, reason = "a skipped test says so")]
        {
            println!("skipped: no root");
        }
    }
    root
}

/// An instance of stack `shop` that has written these lines.
fn instance(stage: &Stage, kind: Kind, id: &InstanceId, lines: &[&str]) {
    let directories = Directories::new(Some(&stage.home()), None);
    let stack = StackName::new("shop").expect("a name");
    let directory = directories.instance(&stack, id);
    let record = records::record(stack, id.clone(), kind);
    record.write(&directory).expect("written");
    std::fs::create_dir_all(directory.join("log")).expect("made");
    append(stage, id, lines);
}

fn append(stage: &Stage, id: &InstanceId, lines: &[&str]) {
    let directories = Directories::new(Some(&stage.home()), None);
    let stack = StackName::new("shop").expect("a name");
    let path = directories.instance(&stack, id).join("log/current.log");
    let mut log = std::fs::File::options().create(true).append(true).open(path).expect("opened");
    for line in lines {
        let (second, text) = line.split_once(' ').expect("second and text");
        writeln!(log, "2026-11-23T19:00:{second}.000000000Z stdout F {text}").expect("written");
    }
}

/// A VM and two copies of a container.
fn shop() -> Stage {
    let stage = Stage::new();
    instance(&stage, Kind::Vm, &InstanceId::single("db"), &["01 booting", "05 ready\r"]);
    let copy = |number| InstanceId { workload: "web".into(), number, replicated: true };
    instance(&stage, Kind::Container, &copy(1), &["02 one", "06 four"]);
    instance(&stage, Kind::Container, &copy(2), &["03 two"]);
    stage
}

#[test]
fn all_are_merged_by_time() {
    if !root() {
        return;
    }
    let ran = shop().run(&["-p", "shop", "logs"]);
    let expected = "\
db    | booting
web-1 | one
web-2 | two
db    | ready
web-1 | four
";
    assert_eq!((ran.code, ran.stdout.as_str()), (0, expected), "{ran}");
}

#[test]
fn names_tail_since_and_timestamps() {
    if !root() {
        return;
    }
    let stage = shop();
    let stdout = |arguments: &[&str]| {
        let ran = stage.run(&[&["-p", "shop", "logs"], arguments].concat());
        assert_eq!(ran.code, 0, "{ran}");
        ran.stdout
    };
    assert_eq!(stdout(&["web", "--no-log-prefix"]), "one\ntwo\nfour\n");
    assert_eq!(stdout(&["web-2"]), "web-2 | two\n");
    assert_eq!(stdout(&["--tail", "1", "db", "web-1"]), "db    | ready\nweb-1 | four\n");
    assert_eq!(stdout(&["--tail", "0"]), "");
    assert_eq!(
        stdout(&["--since", "2026-11-23T19:00:06Z", "-t", "--no-log-prefix"]),
        "2026-11-23T19:00:06Z four\n"
    );
}

#[test]
fn wrong_names_and_times_are_said() {
    if !root() {
        return;
    }
    let stage = shop();
    insta::assert_snapshot!(stage.run(&["-p", "shop", "logs", "wbe"]));
    insta::assert_snapshot!(stage.run(&["-p", "shop", "logs", "--since", "yesterday"]));
    insta::assert_snapshot!(stage.run(&["-p", "Shop!", "logs"]));
}

#[test]
fn without_root_the_line_to_run_is_said() {
    let stage = shop().unprivileged();
    let ran = stage.run(&["-p", "shop", "logs", "-f"]);
    assert_eq!(ran.code, 4, "{ran}");
    assert!(
        ran.stderr.starts_with("error: `windlass logs` needs root\n  help: run `sudo "),
        "{ran}"
    );
    assert!(ran.stderr.contains("windlass -p shop logs -f`"), "{ran}");
}

/// A process that lives until it is dropped.
struct Alive(Child);

impl Alive {
    fn new() -> Self {
        let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        Self(child.expect("it runs"))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn following_shows_what_is_added_and_ends_with_the_last_process() {
    if !root() {
        return;
    }
    let stage = shop();
    let process = Alive::new();
    let pid = i32::try_from(process.0.id()).expect("a pid");
    let db = InstanceId::single("db");
    let stack = StackName::new("shop").expect("a name");
    let start_time = process::start_time(pid).expect("it is alive");
    let status = Status {
        version: VERSION,
        shim_pid: pid,
        shim_start_time: start_time,
        pid,
        start_time,
        boot_id: process::boot_id(),
        started: 0,
        cgroup: None,
    };
    let run = Directories::new(Some(&stage.home()), None).instance_run(&stack, &db);
    atomic::write(&run.join("status.json"), &status).expect("written");

    let mut following = Command::new(env!("CARGO_BIN_EXE_windlass"))
        .args(["-p", "shop", "logs", "-f", "--tail", "1", "db"])
        .env("WINDLASS_HOME", stage.home())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut lines = BufReader::new(following.stdout.take().expect("piped")).lines();
    let mut next = || lines.next().map(|line| line.expect("read"));
    assert_eq!(next().as_deref(), Some("db | ready"));
    append(&stage, &db, &["07 more"]);
    assert_eq!(next().as_deref(), Some("db | more"));
    append(&stage, &db, &["08 last words"]);
    drop(process);
    assert_eq!(next().as_deref(), Some("db | last words"));
    assert_eq!(next(), None);
    assert!(following.wait().expect("it ends").success());
}
