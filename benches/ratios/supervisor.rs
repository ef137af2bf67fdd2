//! What a supervisor costs while nothing happens, what each healthcheck costs, and
//! how soon something follows from what it hears. The times are this file's own: it
//! waits for a while only where a while is what is measured.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use windlass::plan::{Consent, Options};
use windlass::reconcile::Goal;
use windlass::stack::{InstanceId, StackName};
use windlass::state::Directories;
use windlass::supervisor::client::Client;
use windlass::supervisor::intent::Intent;
use windlass::supervisor::protocol::{Order, Said};

use super::events::{Events, LISTEN};
use super::measure::{ROUNDS, command, kill_and_wait, median, row, windlass};

/// How long an idle supervisor is watched: it looks at everything once a minute.
const IDLE: Duration = Duration::from_secs(61);

/// How long healthchecks are counted.
const CHECKED: Duration = Duration::from_secs(20);

/// A pause between two writes of a file that has nothing to do with the one that is measured.
const NOISE: Duration = Duration::from_millis(5);

/// Every row, on the bench's image.
pub(crate) fn rows(root: &Path) {
    idle(root);
    checks(root);
    sync(root);
    revival(root);
    quiet(root);
}

/// Twenty workloads that nothing happens to.
fn idle(root: &Path) {
    let stack = Stack::up(root, 20, "");
    let pid = stack.supervisor();
    let before = cpu(pid);
    std::thread::sleep(IDLE);
    let spent = cpu(pid).since(before).own;
    let anonymous = anonymous_kib(pid);
    let what = "supervisor of 20, idle: anonymous memory";
    println!("{what:<52} {:>7.1} MB {:>26}", super::measure::megabytes(anonymous), "15 MB");
    let percent = spent.as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    let what = format!("supervisor of 20, idle: of a core, {} s", IDLE.as_secs());
    println!("{what:<52} {percent:>7.3} % {:>27}", "0.1 %");
}

/// Twenty workloads that are asked every second. Each check leaves a byte.
fn checks(root: &Path) {
    let check = "healthcheck: { test: [CMD, sh, -c, 'echo >> /tmp/asked'], interval: 1s }, ";
    let stack = Stack::up(root, 20, check);
    let pid = stack.supervisor();
    let (before, asked) = (cpu(pid), stack.asked());
    std::thread::sleep(CHECKED);
    let (spent, asked) = (cpu(pid).since(before), stack.asked() - asked);
    let times = u32::try_from(asked.max(1)).unwrap_or(u32::MAX);
    let what = |part: &str| format!("CPU of a healthcheck, {part} (of {asked})");
    row(&what("supervisor itself"), spent.own / times, None, "10 ms, both");
    row(&what("its reaped children"), spent.children / times, None, "10 ms, both");
}

/// A file is saved under `watch` while another is written all the while.
fn sync(root: &Path) {
    let source = root.join("project/source");
    fs::create_dir_all(&source).expect("made");
    let develop = "develop: { watch: [{ action: sync, path: ./source, target: /srv }] }, ";
    let stack = Stack::up(root, 1, develop);
    let watching = Watching::start(root);
    let there = stack.files("s0").join("srv/page");
    let noisy = AtomicBool::new(true);
    let times: Vec<Duration> = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0_u64;
            while noisy.load(Ordering::Relaxed) {
                number += 1;
                fs::write(source.join("noise"), number.to_string()).expect("written");
                std::thread::sleep(NOISE);
            }
        });
        let times = (0..ROUNDS).map(|round| {
            let text = format!("round {round}");
            let began = Instant::now();
            fs::write(source.join("page"), &text).expect("written");
            while fs::read_to_string(&there).ok().as_deref() != Some(text.as_str()) {
                assert!(began.elapsed() < Duration::from_secs(30), "it never arrives");
                std::thread::sleep(Duration::from_micros(200));
            }
            began.elapsed()
        });
        let times = times.collect();
        noisy.store(false, Ordering::Relaxed);
        times
    });
    drop(watching);
    row("saved → synced, another file written all the while", mid(times), None, "100 ms");
}

/// A container dies and runs again; the pause of its policy is not counted.
fn revival(root: &Path) {
    let stack = Stack::up(root, 1, "restart: always, ");
    let (mut decided, mut times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut events = Events::of(command(root, &LISTEN));
        let pid = stack.pid("s0");
        let began = Instant::now();
        kill_and_wait(pid);
        let again = events.next("s0", "again");
        decided.push(began.elapsed());
        events.next("s0", "done");
        let pause = Duration::from_millis(again["pause_ms"].as_u64().expect("a pause"));
        times.push(began.elapsed().saturating_sub(pause));
    }
    row("container's death → what follows is decided", mid(decided), None, "50 ms");
    row("container's death → runs again, less its pause", mid(times), None, "–");
}

/// A hundred workloads that are as they should be.
fn quiet(root: &Path) {
    let stack = Stack::up(root, 100, "");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let name = StackName::new("bench").expect("a name");
    let client = Client::new(&stack.directories, &name);
    let intent = Intent::read(&stack.directories.stack(&name)).expect("read").expect("it is up");
    let goal = Goal::Up(Box::new(intent.stack), Options::default());
    let order = Order { goal, consent: Consent::default(), grace: None };
    let ordered = || {
        let began = Instant::now();
        runtime.block_on(async {
            let mut answer = client.order(&order).await.expect("it answers");
            while !matches!(answer.next().await.expect("it goes on"), Said::Ended { .. }) {}
        });
        began.elapsed()
    };
    // What it looks at after a hundred were started is not in the figures.
    ordered();
    let times = (0..ROUNDS).map(|_| ordered());
    row("no-op reconcile of 100, by the supervisor", mid(times), None, "50 ms");
    let ups = (0..ROUNDS).map(|_| windlass(root, &["up", "-d"]).0);
    row("no-op up -d of 100, a supervisor there", mid(ups), None, "50 ms");
}

fn mid(times: impl IntoIterator<Item = Duration>) -> Duration {
    median(times.into_iter())
}

/// A stack that is up; taken down at the end.
struct Stack {
    root: PathBuf,
    directories: Directories,
}

impl Stack {
    /// So many containers, each with these keys more.
    fn up(root: &Path, count: usize, keys: &str) -> Self {
        let mut text = String::from("name: bench\nservices:\n");
        for number in 0..count {
            writeln!(text, "  s{number}: {{ image: ./image, {keys}stop_grace_period: 0s }}")
                .expect("a string takes all");
        }
        fs::write(root.join("project/windlass.yaml"), text).expect("written");
        windlass(root, &["up", "-d"]);
        let directories = Directories::new(Some(&root.join("home")), None);
        Self { root: root.to_owned(), directories }
    }

    fn supervisor(&self) -> i32 {
        let name = StackName::new("bench").expect("a name");
        windlass::supervisor::client::process(&self.directories, &name).expect("one minds it")
    }

    fn pid(&self, name: &str) -> i32 {
        let output = command(&self.root, &["ps", "--format", "json", name])
            .stdout(Stdio::piped())
            .output()
            .expect("it runs");
        let row: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        row["Pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("it runs")
    }

    /// What a container has written, on the host.
    fn files(&self, name: &str) -> PathBuf {
        let stack = StackName::new("bench").expect("a name");
        self.directories.instance(&stack, &InstanceId::single(name)).join("upper")
    }

    /// How often all of them were asked.
    fn asked(&self) -> u64 {
        let sizes = (0..20).map(|number| {
            let left = self.files(&format!("s{number}")).join("tmp/asked");
            left.metadata().map_or(0, |file| file.len())
        });
        sizes.sum()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // Also when a row has failed: nothing is left behind.
        drop(command(&self.root, &["down", "-v", "-t", "0"]).status());
    }
}

/// A `watch` that follows files.
struct Watching {
    program: Child,
    _said: Lines<BufReader<ChildStderr>>,
}

impl Watching {
    fn start(root: &Path) -> Self {
        let mut program =
            command(root, &["watch"]).stderr(Stdio::piped()).spawn().expect("it runs");
        let mut said = BufReader::new(program.stderr.take().expect("piped")).lines();
        let follows = said.any(|line| line.expect("text").contains("watching "));
        assert!(follows, "it ended before it watched");
        Self { program, _said: said }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
    }
}

/// CPU time of a process, in the kernel's ticks of 10 ms.
#[derive(Clone, Copy)]
struct Cpu {
    own: Duration,
    /// Of children that it has reaped, and theirs.
    children: Duration,
}

impl Cpu {
    fn since(self, before: Self) -> Self {
        Self {
            own: self.own.saturating_sub(before.own),
            children: self.children.saturating_sub(before.children),
        }
    }
}

fn cpu(pid: i32) -> Cpu {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    // After the name, which may contain anything: state is the third field.
    let rest = text.rsplit_once(')').expect("a stat line").1;
    let fields: Vec<u64> =
        rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    let ticks = |first: usize| Duration::from_millis((fields[first] + fields[first + 1]) * 10);
    Cpu { own: ticks(11), children: ticks(13) }
}

fn anonymous_kib(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("it runs");
    let line = text.lines().find(|line| line.starts_with("Anonymous:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).expect("a size")
}
