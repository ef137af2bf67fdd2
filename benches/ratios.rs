//! `make bench`: what Windlass costs on top of what the host must pay anyway,
//! as ratios of two things measured in the same run.
//!
//! A bare shim start is the floor: namespaces, overlay, cgroup and the process,
//! without a plan, a network, names, a firewall or a record.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

#[path = "../tests/support/oci.rs"]
mod oci;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use windlass::shim::{Confinement, ContainerPayload, Launcher, Payload, ShimSpec, VERSION};

/// How often each thing is measured; the median counts.
const ROUNDS: usize = 3;

fn main() {
    // `cargo test --benches` runs this file too: there is nothing to test in it.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        println!("the figures need root: `sudo -E make bench`");
        std::process::exit(4);
    }
    let bench = Bench::new();
    println!("{:<44} {:>10} {:>10} {:>7}  aim", "", "windlass", "floor", "ratio");
    for count in [1, 10, 100] {
        bench.containers(count);
    }
}

struct Bench {
    root: tempfile::TempDir,
    launcher: Launcher,
}

impl Bench {
    fn new() -> Self {
        let root = tempfile::Builder::new().prefix("wl-bench-").tempdir().expect("a directory");
        oci::write_layout(&root.path().join("project/image"), &["sleep", "1000000"])
            .expect("an image");
        let program = Path::new(env!("CARGO_BIN_EXE_windlass"));
        let launcher = Launcher::new(program).expect("the program opens");
        Self { root, launcher }
    }

    fn containers(&self, count: usize) {
        self.write_stack(count);
        let bare = median((0..ROUNDS).map(|_| self.bare_shims(count)));
        let mut cold = Vec::new();
        let mut quiet = Vec::new();
        let mut down = Vec::new();
        let mut peak = 0;
        for _ in 0..ROUNDS {
            let (time, memory) = self.windlass(&["up", "-d"]);
            cold.push(time);
            peak = peak.max(memory);
            quiet.extend((0..ROUNDS).map(|_| self.windlass(&["up", "-d"]).0));
            if count == 100 {
                self.report_shims();
            }
            down.push(self.windlass(&["down"]).0);
        }
        let cold = median(cold.into_iter());
        let of = |what: &str| format!("{what}, {count} containers");
        row(&of("cold up -d / bare shim starts"), cold, Some(bare), "1.3");
        row(&of("no-op up -d"), median(quiet.into_iter()), None, "50 ms at 100");
        row(&of("down"), median(down.into_iter()), None, "1 s at 100");
        println!("{:<44} {:>7.1} MB", of("peak memory of up"), megabytes(peak));
    }

    fn write_stack(&self, count: usize) {
        let mut text = String::from("name: bench\nservices:\n");
        for number in 0..count {
            writeln!(text, "  s{number}: {{ image: ./image, stop_grace_period: 0s }}")
                .expect("a string takes all");
        }
        fs::write(self.root.path().join("project/windlass.yaml"), text).expect("written");
    }

    /// Runs the program; how long it took and its peak memory in KiB.
    fn windlass(&self, arguments: &[&str]) -> (Duration, u64) {
        let began = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_windlass"))
            .args(arguments)
            .current_dir(self.root.path().join("project"))
            .env("WINDLASS_HOME", self.root.path().join("home"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program runs");
        let memory = finish(child);
        (began.elapsed(), memory)
    }

    /// Starts so many containers with nothing around them, one thread a core.
    fn bare_shims(&self, count: usize) -> Duration {
        let rootfs = self.rootfs();
        let base = self.root.path().join("bare");
        let specs: Vec<ShimSpec> =
            (0..count).map(|number| bare_spec(&base.join(number.to_string()), &rootfs)).collect();
        let left = Mutex::new(specs.iter());
        let pids = Mutex::new(Vec::new());
        let began = Instant::now();
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let next = left.lock().expect("not poisoned").next();
                        let Some(spec) = next else { break };
                        let status = self.launcher.launch(spec).expect("a bare shim starts");
                        pids.lock().expect("not poisoned").push((status.shim_pid, status.pid));
                    }
                });
            }
        });
        let took = began.elapsed();
        for (shim, process) in pids.into_inner().expect("not poisoned") {
            kill_and_wait(process);
            wait_for(shim);
        }
        fs::remove_dir_all(&base).expect("removed");
        took
    }

    /// The image's files as a plain directory.
    fn rootfs(&self) -> PathBuf {
        let rootfs = self.root.path().join("rootfs");
        if !rootfs.exists() {
            for name in ["bin", "proc", "sys", "dev", "etc", "tmp"] {
                fs::create_dir_all(rootfs.join(name)).expect("made");
            }
            let busybox = oci::busybox().expect("busybox-static is installed");
            fs::copy(busybox, rootfs.join("bin/sleep")).expect("copied");
        }
        rootfs
    }

    /// Private memory of the shims that run now.
    fn report_shims(&self) {
        let home = self.root.path().join("home").to_string_lossy().into_owned();
        let mut sizes: Vec<u64> = fs::read_dir("/proc")
            .expect("readable")
            .flatten()
            .filter(|entry| {
                let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).replace('\0', " ");
                line.contains("internal shim") && line.contains(&home)
            })
            .filter_map(|entry| private_kib(&entry.path()))
            .collect();
        sizes.sort_unstable();
        if let Some(middle) = sizes.get(sizes.len() / 2) {
            let text = "private memory of a shim (median)";
            println!("{text:<44} {:>7.2} MB {:>26}", megabytes(*middle), "1.5 MB");
        }
    }
}

fn bare_spec(directory: &Path, rootfs: &Path) -> ShimSpec {
    for name in ["upper", "work"] {
        fs::create_dir_all(directory.join(name)).expect("made");
    }
    ShimSpec {
        version: VERSION,
        label: "bare".into(),
        run_directory: directory.join("run"),
        log_directory: Some(directory.join("log")),
        exit_file: directory.join("exit.json"),
        cgroup: None,
        interfaces: Vec::new(),
        payload: Payload::Container(Box::new(ContainerPayload {
            lower: vec![rootfs.to_owned()],
            upper: directory.join("upper"),
            work: directory.join("work"),
            config: serde_json::json!({
                "ociVersion": "1.0.2",
                "process": { "args": ["/bin/sleep", "1000000"], "cwd": "/",
                             "user": { "uid": 0, "gid": 0 }, "env": ["PATH=/bin"] },
                "root": { "path": "rootfs" },
                "mounts": [
                    { "destination": "/proc", "type": "proc", "source": "proc" },
                    { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                      "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
                    { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
                      "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666"] },
                ],
                "linux": { "namespaces": [
                    { "type": "pid" }, { "type": "mount" }, { "type": "ipc" }, { "type": "uts" }
                ] },
            }),
            tty: false,
            stdin_open: false,
            user: String::new(),
            copy_up: Vec::new(),
            confinement: Confinement::default(),
        })),
    }
}

/// Waits for a child; its peak memory in KiB.
#[expect(unsafe_code, reason = "no crate at hand gives a child's own peak memory")]
fn finish(child: Child) -> u64 {
    let pid = i32::try_from(child.id()).expect("a pid");
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    let mut status = 0;
    // SAFETY: both pointers lead to live values of the types that wait4 fills in.
    let reaped = unsafe { libc::wait4(pid, &raw mut status, 0, usage.as_mut_ptr()) };
    // Reaped: nobody may wait for this number again.
    drop(child);
    assert_eq!((reaped, status), (pid, 0), "the command failed");
    // SAFETY: wait4 has filled it in; all zeroes was a valid value before.
    let usage = unsafe { usage.assume_init() };
    u64::try_from(usage.ru_maxrss).unwrap_or(0)
}

fn kill_and_wait(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        // It may have ended by itself; the wait below sees that too.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    wait_for(pid);
}

fn wait_for(pid: i32) {
    let Some(pid) = rustix::process::Pid::from_raw(pid) else { return };
    let flags = rustix::process::PidfdFlags::empty();
    let Ok(fd) = rustix::process::pidfd_open(pid, flags) else { return };
    let mut ended = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
    // An interrupted wait is only a figure measured too early.
    let _ = rustix::event::poll(&mut ended, None);
}

fn private_kib(process: &Path) -> Option<u64> {
    let text = fs::read_to_string(process.join("smaps_rollup")).ok()?;
    let private = text.lines().filter(|line| line.starts_with("Private_"));
    Some(private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum())
}

fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    times[times.len() / 2]
}

#[expect(clippy::cast_precision_loss, reason = "sizes of processes are far below 2^52")]
fn megabytes(kib: u64) -> f64 {
    kib as f64 * 1024.0 / 1e6
}

fn row(what: &str, ours: Duration, floor: Option<Duration>, aim: &str) {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    match floor {
        Some(floor) => println!(
            "{what:<44} {:>7.1} ms {:>7.1} ms {:>7.2}  {aim}",
            milliseconds(ours),
            milliseconds(floor),
            ours.as_secs_f64() / floor.as_secs_f64(),
        ),
        None => println!("{what:<44} {:>7.1} ms {:>18}  {aim}", milliseconds(ours), ""),
    }
}
