//! The stack that is harmed, one beside it in the same home that is taken up and
//! down, the small disk under both, and bystanders. Dropped, all of it goes, in
//! whatever state it is.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use windlass::stack::{InstanceId, StackName};
use windlass::state::{Directories, names};

use crate::bystanders::{self, Bystanders};
use crate::commands::{Ended, Running, host, processes, signal};
use crate::scenario::Scenario;
use crate::small_disk::{self, SmallDisk};

/// Longer than any command may take: a guest's boot is among them.
pub(crate) const LIMIT: Duration = Duration::from_mins(8);

/// Whatever state it is in.
const TAKE_DOWN: &[&str] = &["down", "-v", "--remove-orphans", "--adopt", "-t", "0"];

/// What is left free on the disk once everything runs, in MiB.
const FREE: u64 = 192;

/// The first one may have to build the machine's base.
const FIRST_LIMIT: Duration = Duration::from_mins(20);

/// Containers that shall always run, and whose process tells what was done to them.
pub(crate) const STEADY: [&str; 4] = ["ledger", "web", "api", "plain"];

const FILE: &str = include_str!("stack.yaml");
const GUEST: &str = include_str!("guest.yaml");
const LEDGER: &str = include_str!("ledger.sh");
const SIDE: &str = include_str!("side.yaml");

/// Everything there is.
pub(crate) struct Stage {
    pub(crate) main: Scenario,
    pub(crate) bystanders: Option<Bystanders>,
    pub(crate) disk: SmallDisk,
    /// Whether there is a machine among them.
    pub(crate) machine: bool,
}

impl Stage {
    /// Made and brought up, with a machine or without; `None` where the engines are not.
    pub(crate) fn set(machine: bool) -> Option<Self> {
        clear_after_the_killed();
        let main = if machine {
            Scenario::vms("chaos", FILE)?
        } else {
            Scenario::containers("chaos", &without_machine(FILE))?
        };
        main.write("guest.yaml", GUEST);
        main.write("scripts/ledger.sh", LEDGER);
        main.write("shared/from-the-host", "here\n");
        main.write("side/windlass.yaml", SIDE);
        let disk = SmallDisk::mount(&main.home());
        let mut stage = Self { main, bystanders: None, disk, machine };
        let beside = Bystanders::beside(&stage.main.home(), stage.main.name());
        stage.bystanders = Some(beside);
        stage.start(&["up", "-d"]).within(FIRST_LIMIT).ok();
        stage.side(&["up", "-d"]).ok();
        stage.disk.squeeze(FREE);
        Some(stage)
    }

    /// A command on the stack, to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        self.start(arguments).within(LIMIT)
    }

    /// A command on the stack, begun.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::start(self.main.command(arguments))
    }

    /// A command on the one beside it, to its end.
    pub(crate) fn side(&self, arguments: &[&str]) -> Ended {
        Running::start(self.side_command(arguments)).within(LIMIT)
    }

    /// A command on the one beside it.
    pub(crate) fn side_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.main.command_in(&self.main.project().join("side"), arguments);
        command.env("COMPOSE_PROJECT_NAME", self.side_name());
        command
    }

    /// The name of the one beside it.
    pub(crate) fn side_name(&self) -> String {
        side_of(self.main.name())
    }

    /// `ps -a` as data.
    pub(crate) fn ps(&self) -> BTreeMap<String, Value> {
        rows(&self.run(&["ps", "-a", "--format", "json"]).ok())
    }

    /// Who runs, with its process.
    pub(crate) fn pids(&self) -> BTreeMap<String, i32> {
        let pid = |row: &Value| row["Pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
        self.ps().into_iter().filter_map(|(name, row)| Some((name, pid(&row)?))).collect()
    }

    /// Where a file of the stack's own lies: the ledger, the intent.
    pub(crate) fn state_file(&self, name: &str) -> PathBuf {
        self.directories().stack(&self.stack()).join(name)
    }

    /// Where a file of an instance lies.
    pub(crate) fn instance_file(&self, workload: &str, name: &str) -> PathBuf {
        self.directories().instance(&self.stack(), &InstanceId::single(workload)).join(name)
    }

    /// The directory of a named volume of the stack, or of the one beside it.
    pub(crate) fn volume(&self, stack: &str, name: &str) -> PathBuf {
        self.directories().volume(&format!("{stack}_{name}"))
    }

    /// The host's end of a container's interface.
    pub(crate) fn interface(&self, workload: &str, network: &str) -> String {
        let id = InstanceId::single(workload);
        names::interface(&self.directories().home_id(), &self.stack(), &id, network)
    }

    /// The bridge of a network.
    pub(crate) fn bridge(&self, network: &str) -> String {
        names::bridge(&self.directories().home_id(), &self.stack(), network)
    }

    /// The firewall's table.
    pub(crate) fn table(&self) -> String {
        names::table(&self.directories().home_id(), &self.stack())
    }

    /// Processes of the network of the stack that are `windlass internal PART`.
    pub(crate) fn parts(&self, part: &str) -> Vec<i32> {
        let directory = self.directories().stack_run(&self.stack());
        let of_part = format!("internal {part} ");
        let all = processes(&directory.to_string_lossy()).into_iter();
        all.filter(|(_, line)| line.contains(&of_part)).map(|(pid, _)| pid).collect()
    }

    /// What of a stack is still on the host.
    pub(crate) fn leftovers(&self, stack: &str) -> Vec<String> {
        let home = self.main.home().to_string_lossy().into_owned();
        // The home's processes are of both stacks: that one is looked at last.
        let supervises = format!("--project-name {stack} supervise");
        let mut found = processes(&supervises);
        if stack == self.main.name() {
            found.extend(processes(&home));
        }
        let lines = found.into_iter().map(|(pid, line)| format!("{pid} {line}"));
        let mut left: Vec<String> = lines.collect();
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let own = format!(" {home} tmpfs ");
        let below = mounts.lines().filter(|line| line.contains(&home) && !line.contains(&own));
        left.extend(below.map(str::to_owned).filter(|_| stack == self.main.name()));
        let label = format!(":{stack}:");
        left.extend(lines_with(&host("ip", &["-d", "link"]), &label));
        let name = StackName::new(stack).expect("a valid name");
        let id = names::stack_id(&self.directories().home_id(), &name);
        left.extend(lines_with(&host("nft", &["list", "tables"]), &id));
        left.extend(cgroups(&id));
        left
    }

    /// Takes everything down with its data, which must be the end of it.
    pub(crate) fn clear(&mut self) {
        for stack in [self.side_name(), self.main.name().to_owned()] {
            if stack == self.main.name() {
                self.run(&["down", "-v"]).ok();
            } else {
                self.side(&["down", "-v"]).ok();
            }
            let left = self.leftovers(&stack);
            assert!(left.is_empty(), "left behind: {left:#?}");
        }
    }

    fn stack(&self) -> StackName {
        StackName::new(self.main.name()).expect("a valid name")
    }

    fn directories(&self) -> Directories {
        Directories::new(Some(&self.main.home()), None)
    }
}

impl Drop for Stage {
    /// Whoever hangs or was stopped keeps nobody from clearing up.
    fn drop(&mut self) {
        self.disk.release();
        end_supervisors(self.main.name());
        drop(self.side_command(TAKE_DOWN).output());
    }
}

/// The stack file without its machine and what only that one uses.
fn without_machine(file: &str) -> String {
    let (services, rest) = file.split_once("vms:\n").expect("a section of machines");
    let (_, rest) = rest.split_once("volumes:\n").expect("a section of volumes");
    let rest: Vec<&str> = rest.lines().filter(|line| !line.contains("vmdata")).collect();
    format!("{services}volumes:\n{}\n", rest.join("\n"))
}

fn side_of(name: &str) -> String {
    format!("{name}-side")
}

/// Whoever hangs answers nobody.
fn end_supervisors(stack: &str) {
    for name in [stack, &side_of(stack)] {
        for (pid, _) in processes(&format!("--project-name {name} supervise")) {
            signal(pid, Signal::KILL);
        }
    }
}

/// A test that is killed takes nothing down. The stack that it harmed goes with the
/// next scenario, whichever it is; what only this test has goes here.
fn clear_after_the_killed() {
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let root = entry.path();
        let side = root.join("project/side");
        let owner = fs::read_to_string(root.join("owner")).unwrap_or_default();
        let Some((pid, name)) = owner.split_once(' ').filter(|_| side.is_dir()) else { continue };
        if Path::new("/proc").join(pid).exists() {
            continue;
        }
        let home = root.join("home");
        drop(fs::remove_file(home.join(small_disk::BALLAST)));
        end_supervisors(name);
        let mut down = Command::new(env!("CARGO_BIN_EXE_windlass"));
        down.current_dir(&side).args(TAKE_DOWN);
        down.env("WINDLASS_HOME", &home).env("COMPOSE_PROJECT_NAME", side_of(name));
        drop(down.output());
        bystanders::clear(&home, name, pid);
    }
}

fn rows(ran: &Ended) -> BTreeMap<String, Value> {
    let lines = ran.said.lines().filter(|line| line.starts_with('{'));
    let rows = lines.map(|line| serde_json::from_str(line).expect("a JSON line"));
    rows.map(|row: Value| (row["Name"].as_str().expect("a name").to_owned(), row)).collect()
}

fn lines_with(text: &str, needle: &str) -> Vec<String> {
    text.lines().filter(|line| line.contains(needle)).map(str::to_owned).collect()
}

/// The groups of a stack, in every hierarchy.
fn cgroups(id: &str) -> Vec<String> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    let groups = hierarchies.chain([root.to_owned()]).map(|it| it.join("windlass.slice").join(id));
    groups.filter(|path| path.exists()).map(|path| path.display().to_string()).collect()
}
