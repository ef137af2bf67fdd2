//! One stack in a home of its own, driven through the real program. Dropping it
//! takes everything down and checks that nothing of it is left on the host.

#![expect(
    clippy::print_stderr,
    reason = "why a test was skipped, and how a failed one was cleaned up"
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use windlass::engine::Workloads;
use windlass::stack::vm::Accel;
use windlass::world::World;

/// How the directories of scenarios begin.
const PREFIX: &str = "wl-sc-";

/// In each, who made it: process and name of the stack.
const OWNER: &str = "owner";

/// Whatever state it is in.
const TAKE_DOWN: &[&str] = &["down", "-v", "--remove-orphans", "--adopt", "-t", "0"];

/// A project directory, a `WINDLASS_HOME`, and the program.
pub(crate) struct Scenario {
    root: tempfile::TempDir,
    name: String,
    clean: bool,
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Exit code.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Scenario {
    /// A project called `name` (made unique) with this stack file, and an image
    /// `./image` beside it that has busybox.
    pub(crate) fn new(name: &str, stack_file: &str) -> Self {
        clear_after_the_killed();
        let root = tempfile::Builder::new().prefix(PREFIX).tempdir().expect("a directory");
        let name = format!("{name}-{}", std::process::id());
        fs::write(root.path().join(OWNER), format!("{} {name}", std::process::id()))
            .expect("whose it is");
        let scenario = Self { root, name, clean: false };
        fs::create_dir_all(scenario.project()).expect("a project directory");
        crate::oci::write_layout(&scenario.project().join("image"), &["sleep", "1000000"])
            .expect("an image");
        scenario.write("windlass.yaml", stack_file);
        scenario
    }

    /// The same, or `None` (said on standard error) where containers cannot run here.
    pub(crate) fn containers(name: &str, stack_file: &str) -> Option<Self> {
        engine("embedded").then(|| Self::new(name, stack_file))
    }

    /// The same where the stack has VMs too. Bases that were built once are shared.
    pub(crate) fn vms(name: &str, stack_file: &str) -> Option<Self> {
        let able = engine("qemu") && engine("embedded");
        able.then(|| Self::new(name, stack_file))
    }

    /// The project's directory.
    pub(crate) fn project(&self) -> PathBuf {
        self.root.path().join("project")
    }

    /// The state directory.
    pub(crate) fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// The stack's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Writes a file of the project.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.project().join(path);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).expect("its directory");
        }
        fs::write(path, text).expect("written");
    }

    /// The program, told where its state is; not started yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_in(&self.project(), arguments)
    }

    /// The same from another directory.
    pub(crate) fn command_in(&self, directory: &Path, arguments: &[&str]) -> Command {
        program(directory, &self.home(), &self.name, arguments)
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&self.command(arguments).output().expect("the program runs"))
    }

    /// Runs it from another directory.
    pub(crate) fn run_in(&self, directory: &Path, arguments: &[&str]) -> Ran {
        Ran::of(&self.command_in(directory, arguments).output().expect("the program runs"))
    }

    /// Runs it and insists on success.
    pub(crate) fn ok(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "windlass {arguments:?}\n{}\n{}", ran.stdout, ran.stderr);
        ran
    }

    /// `ps -a` as data.
    pub(crate) fn ps(&self) -> Vec<Value> {
        rows(&self.ok(&["ps", "-a", "--format", "json"]))
    }

    /// The process of an instance, on the host.
    pub(crate) fn pid(&self, name: &str) -> i32 {
        pid_in_rows(&self.ps(), name)
    }

    /// The same, asked from another directory.
    pub(crate) fn pid_in(&self, directory: &Path, name: &str) -> i32 {
        pid_in_rows(&rows(&self.run_in(directory, &["ps", "-a", "--format", "json"])), name)
    }

    /// A second checkout of the same project.
    pub(crate) fn copy_of_the_project(&self) -> PathBuf {
        let copy = self.root.path().join("checkout");
        let status = Command::new("cp").arg("-a").args([&self.project(), &copy]).status();
        assert!(status.expect("cp runs").success());
        copy
    }

    /// The process of the stack's supervisor.
    pub(crate) fn supervisor(&self) -> Option<i32> {
        let rows = self.ok(&["ls", "-a", "--format", "json"]).stdout;
        let rows: Vec<Value> = serde_json::from_str(&rows).expect("JSON");
        let row = rows.iter().find(|row| row["Name"] == self.name.as_str())?;
        row["Supervisor"].as_i64().and_then(|pid| i32::try_from(pid).ok())
    }

    /// Kills the stack's supervisor, if it has one, and returns when it is gone.
    pub(crate) fn kill_supervisor(&self) {
        if let Some(pid) = self.supervisor() {
            kill_and_wait(pid);
        }
    }

    /// Kills every process of this home that is `windlass internal PART`.
    pub(crate) fn kill_part(&self, part: &str) {
        let home = self.home().to_string_lossy().into_owned();
        let of_part: Vec<String> = processes_naming(&home)
            .into_iter()
            .filter(|line| line.contains(&format!("internal {part} ")))
            .collect();
        assert!(!of_part.is_empty(), "no {part} among {:#?}", processes_naming(&home));
        for line in of_part {
            let pid = line.split(' ').next().and_then(|pid| pid.parse().ok());
            kill_and_wait(pid.expect("a number"));
        }
    }

    /// Kills what each shim minds whose run directory has this name.
    pub(crate) fn kill_minded(&self, directory: &str) {
        let home = self.home().to_string_lossy().into_owned();
        let is_shim = |line: &&String| {
            line.contains("internal shim ") && line.trim_end().ends_with(&format!("/{directory}"))
        };
        let processes = processes_naming(&home);
        let shims: Vec<&str> =
            processes.iter().filter(is_shim).filter_map(|line| line.split(' ').next()).collect();
        assert!(!shims.is_empty(), "no shim of {directory} among {processes:#?}");
        for shim in shims {
            let children = fs::read_to_string(format!("/proc/{shim}/task/{shim}/children"));
            for child in children.expect("a shim").split_whitespace() {
                kill_and_wait(child.parse().expect("a number"));
            }
        }
    }

    /// Puts a link where an instance's own would be, as a run that has just
    /// ended may leave it for a moment.
    pub(crate) fn leave_interface(&self, name: &str, network: &str) {
        let directories = windlass::state::Directories::new(Some(&self.home()), None);
        let stack = windlass::stack::StackName::new(&self.name).expect("a valid name");
        let id = windlass::stack::InstanceId::single(name);
        let home_id = directories.home_id();
        let link = windlass::state::names::interface(&home_id, &stack, &id, network);
        // Its own last one may still be there.
        drop(Command::new("ip").args(["link", "delete", &link]).output());
        run("ip", &["link", "add", &link, "type", "bridge"]);
    }

    /// Deletes the stack's firewall table, as an admin might.
    pub(crate) fn delete_firewall_table(&self) {
        let table = format!("windlass_{}", self.stack_id());
        run("nft", &["delete", "table", "inet", &table]);
    }

    /// Deletes the stack's bridges, as an admin might.
    pub(crate) fn delete_bridges(&self) {
        let links = run("ip", &["-j", "-d", "link", "show", "type", "bridge"]);
        let links: Value = serde_json::from_str(&links).expect("JSON");
        let label = format!(":{}:", self.name);
        let ours =
            links.as_array().into_iter().flatten().filter(|link| {
                link["ifalias"].as_str().is_some_and(|alias| alias.contains(&label))
            });
        let mut count = 0;
        for link in ours {
            run("ip", &["link", "delete", link["ifname"].as_str().expect("a name")]);
            count += 1;
        }
        assert!(count > 0, "no bridge of {} in {links:#}", self.name);
    }

    /// The memory limit that the kernel has for an instance, in bytes.
    pub(crate) fn memory_limit(&self, name: &str) -> u64 {
        let text = fs::read_to_string(self.memory_limit_file(name)).expect("a limit");
        text.trim().parse().expect("a number")
    }

    /// Changes the limit behind Windlass' back.
    pub(crate) fn set_memory_limit(&self, name: &str, bytes: u64) {
        fs::write(self.memory_limit_file(name), bytes.to_string()).expect("changed");
    }

    fn memory_limit_file(&self, name: &str) -> PathBuf {
        let below = format!("windlass.slice/{}/{name}-1", self.stack_id());
        [
            Path::new("/sys/fs/cgroup/memory").join(&below).join("memory.limit_in_bytes"),
            Path::new("/sys/fs/cgroup").join(&below).join("memory.max"),
        ]
        .into_iter()
        .find(|path| path.exists())
        .expect("a memory cgroup")
    }

    /// Freezes an instance behind Windlass' back.
    pub(crate) fn freeze(&self, name: &str) {
        let below = format!("windlass.slice/{}/{name}-1", self.stack_id());
        let (old, new) = (Path::new("/sys/fs/cgroup/freezer"), Path::new("/sys/fs/cgroup"));
        if old.join(&below).exists() {
            fs::write(old.join(&below).join("freezer.state"), "FROZEN").expect("frozen");
        } else {
            fs::write(new.join(&below).join("cgroup.freeze"), "1").expect("frozen");
        }
    }

    /// Reads an instance's log until `needle` is in it.
    pub(crate) fn wait_for_log(&self, name: &str, needle: &str) {
        let mut logs = self
            .command(&["logs", "-f", name])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("the program runs");
        let lines = BufReader::new(logs.stdout.take().expect("piped")).lines();
        let found = lines.map_while(Result::ok).any(|line| line.contains(needle));
        logs.kill().expect("ended");
        logs.wait().expect("reaped");
        assert!(found, "{needle} is not in the log of {name}");
    }

    /// Where the record of an instance lies.
    pub(crate) fn record(&self, name: &str) -> PathBuf {
        self.home().join("lib/stacks").join(&self.name).join(name).join("1/instance.json")
    }

    fn stack_id(&self) -> String {
        windlass::state::names::stack_id(&self.directories().home_id(), &self.stack())
    }

    /// Takes it down with everything, and checks that nothing is left.
    pub(crate) fn finish(mut self) {
        self.ok(&["down", "-v", "--remove-orphans"]);
        self.clean = true;
        let mut left = self.leftovers();
        let supervisor = self.supervisor_directory();
        left.extend(supervisor.exists().then(|| supervisor.display().to_string()));
        assert!(left.is_empty(), "left behind: {left:#?}");
    }

    /// What of this scenario is still on the host: processes, interfaces,
    /// mounts, cgroups, tables.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let home = self.home().to_string_lossy().into_owned();
        let mut left = processes_naming(&home);
        left.extend(lines_of("/proc/self/mounts", &home));
        left.extend(self.links());
        left.extend(self.tables());
        left.extend(self.cgroups().iter().map(|group| group.display().to_string()));
        left
    }

    /// The names of the stack's links: bridges, and what hangs on them.
    pub(crate) fn links(&self) -> Vec<String> {
        let label = format!(":{}:", self.name);
        let links: Vec<Value> = serde_json::from_str(&run("ip", &["-json", "link"])).expect("JSON");
        let own = |link: &&Value| link["ifalias"].as_str().is_some_and(|it| it.contains(&label));
        let name = |link: &Value| link["ifname"].as_str().map(str::to_owned);
        links.iter().filter(own).filter_map(name).collect()
    }

    /// Where the stack's supervisor has its socket and its log.
    pub(crate) fn supervisor_directory(&self) -> PathBuf {
        windlass::supervisor::client::directory(&self.directories(), &self.stack())
    }

    fn directories(&self) -> windlass::state::Directories {
        windlass::state::Directories::new(Some(&self.home()), None)
    }

    fn stack(&self) -> windlass::stack::StackName {
        windlass::stack::StackName::new(&self.name).expect("a valid name")
    }

    /// The stack's firewall tables: one or none.
    pub(crate) fn tables(&self) -> Vec<String> {
        let (id, tables) = (self.stack_id(), run("nft", &["list", "tables"]));
        tables.lines().filter(|line| line.contains(&id)).map(str::to_owned).collect()
    }

    /// The stack's control group, in each hierarchy that has it.
    pub(crate) fn cgroups(&self) -> Vec<PathBuf> {
        let id = self.stack_id();
        let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        let roots = hierarchies.map(|entry| entry.path()).chain([PathBuf::from("/sys/fs/cgroup")]);
        let groups = roots.map(|root| root.join("windlass.slice").join(&id));
        groups.filter(|path| path.exists()).collect()
    }
}

impl Drop for Scenario {
    fn drop(&mut self) {
        if !self.clean
            && let Ok(down) = self.command(TAKE_DOWN).output()
        {
            eprintln!("down of {}: {}", self.name, String::from_utf8_lossy(&down.stderr));
        }
    }
}

impl Ran {
    /// What the program left behind.
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

fn program(directory: &Path, home: &Path, name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
    command
        .current_dir(directory)
        .env("WINDLASS_HOME", home)
        .env("WINDLASS_CACHE", cache())
        .env("COMPOSE_PROJECT_NAME", name)
        .args(arguments);
    command
}

/// A test that is killed cannot take its stack down: the next one does.
fn clear_after_the_killed() {
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let root = entry.path();
        if !entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        let owner = fs::read_to_string(root.join(OWNER)).unwrap_or_default();
        let Some((pid, name)) = owner.split_once(' ') else { continue };
        // Whoever takes the file away clears up: one of all that see it.
        let is_dead = !Path::new("/proc").join(pid).exists();
        if is_dead && fs::remove_file(root.join(OWNER)).is_ok() {
            let down = program(&root.join("project"), &root.join("home"), name, TAKE_DOWN).output();
            eprintln!("taken down after a killed test: {name} {down:?}");
            drop(fs::remove_dir_all(&root));
        }
    }
}

/// The process that minds another one.
pub(crate) fn shim_of(pid: i32) -> i32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    parent.and_then(|pid| pid.trim().parse().ok()).expect("a parent")
}

/// Kills a process and returns when it is gone.
pub(crate) fn kill_and_wait(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a process");
    let fd =
        rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).expect("it runs");
    rustix::process::pidfd_send_signal(&fd, rustix::process::Signal::KILL).expect("killed");
    let mut ended = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut ended, None).expect("it ends");
}

/// Runs a program of the host, insists on success, gives its output.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("it runs");
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn rows(ran: &Ran) -> Vec<Value> {
    ran.stdout.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

fn pid_in_rows(rows: &[Value], name: &str) -> i32 {
    let row = rows.iter().find(|row| row["Name"] == name);
    let pid = row.and_then(|row| row["Pid"].as_i64());
    let pid = pid.and_then(|pid| i32::try_from(pid).ok());
    pid.unwrap_or_else(|| panic!("{name} does not run: {rows:#?}"))
}

pub(crate) fn lines_of(path: &str, needle: &str) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter(|line| line.contains(needle)).map(str::to_owned).collect()
}

pub(crate) fn processes_naming(needle: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(needle) && entry.file_name() != *std::process::id().to_string() {
            found.push(format!("{} {line}", entry.file_name().to_string_lossy()));
        }
    }
    found
}

/// Whether an engine works here. Where it does not, the test is skipped and
/// says so, unless `REQUIRE_ENGINES` names it: then that is the failure.
fn engine(name: &str) -> bool {
    let directories = windlass::state::Directories::new(None, None);
    let world = World::host(&directories, Accel::Auto).expect("the engines can be put together");
    let engine: &dyn Workloads = if name == "qemu" { &*world.vms } else { &*world.containers };
    let reason = match engine.unavailable() {
        Some(reason) => reason,
        None if !rustix::process::geteuid().is_root() => "it needs root".to_owned(),
        None if crate::oci::busybox().is_none() => "busybox-static is not installed".to_owned(),
        None => return true,
    };
    let required = std::env::var("REQUIRE_ENGINES").unwrap_or_default();
    assert!(!required.split(',').any(|one| one == name), "`{name}` is required: {reason}");
    eprintln!("skipped: the `{name}` engine cannot be used: {reason}");
    false
}

/// Where downloads and bootstrapped bases are kept between runs.
fn cache() -> PathBuf {
    let given = std::env::var_os("WINDLASS_TEST_CACHE");
    given.map_or_else(|| "/var/cache/windlass-test".into(), PathBuf::from)
}

/// What an HTTP server on loopback answers.
pub(crate) fn http_get(port: u64, path: &str) -> String {
    use std::io::{Read, Write};
    let port = u16::try_from(port).expect("a port");
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("connected");
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a header and a body");
    body.to_owned()
}
