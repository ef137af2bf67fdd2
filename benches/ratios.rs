//! `make bench`: what Windlass costs on top of what the host must pay anyway,
//! as ratios of two things measured in the same run.
//!
//! A bare shim start is one floor: namespaces, overlay and the process. The
//! other does equal work: network, names, firewall, cgroup and record besides,
//! made by hand. `floor` says what each of them contains.
//!
//! `make bench ROWS=supervisor` prints one group of rows: `containers`, `supervisor`
//! or `vm`.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

#[path = "ratios/compose.rs"]
mod compose;
#[path = "../tests/support/events.rs"]
mod events;
#[path = "ratios/floor.rs"]
mod floor;
#[path = "ratios/measure.rs"]
mod measure;
#[path = "../tests/support/oci.rs"]
mod oci;
#[path = "ratios/supervisor.rs"]
mod supervisor;
#[path = "ratios/vm.rs"]
mod vm;

use std::fmt::Write as _;
use std::fs;

use compose::Compose;
use floor::Floor;
use measure::{ROUNDS, median, megabytes, private_kib, row, windlass};

fn main() {
    // `cargo test --benches` runs this file too: there is nothing to test in it.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        println!("the figures need root: `sudo -E make bench`");
        std::process::exit(4);
    }
    // Cargo's own arguments begin with dashes.
    let rows = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if let Some(unknown) = rows.as_deref().filter(|rows| !GROUPS.contains(rows)) {
        println!("there are no rows `{unknown}`; there are {}", GROUPS.join(", "));
        std::process::exit(2);
    }
    let wanted = |group: &str| rows.as_deref().is_none_or(|rows| rows == group);
    let bench = Bench::new();
    println!("{:<52} {:>10} {:>10} {:>7}  aim", "", "windlass", "floor", "ratio");
    for count in [1, 10, 100].into_iter().filter(|_| wanted("containers")) {
        bench.containers(count);
    }
    if wanted("supervisor") {
        supervisor::rows(bench.root.path());
    }
    if wanted("vm") {
        vm::rows(bench.root.path());
    }
}

/// The groups of rows.
const GROUPS: [&str; 3] = ["containers", "supervisor", "vm"];

struct Bench {
    floor: Floor,
    compose: Option<Compose>,
    root: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let root = tempfile::Builder::new().prefix("wl-bench-").tempdir().expect("a directory");
        oci::write_layout(&root.path().join("project/image"), &["sleep", "1000000"])
            .expect("an image");
        let floor = Floor::new(root.path());
        let compose = Compose::find(root.path(), floor.rootfs());
        Self { floor, compose, root }
    }

    fn containers(&self, count: usize) {
        self.write_stack(count);
        // What is kept of the first run is not in the figures: the unpacked image.
        windlass(self.root.path(), &["up", "-d"]);
        windlass(self.root.path(), &["down"]);
        let (mut bare, mut equal) = (Vec::new(), Vec::new());
        let (mut cold, mut quiet, mut down) = (Vec::new(), Vec::new(), Vec::new());
        let mut peak = 0;
        for _ in 0..ROUNDS {
            bare.push(self.floor.bare(count));
            equal.push(self.floor.equal_work(count));
            let (time, memory) = windlass(self.root.path(), &["up", "-d"]);
            cold.push(time);
            peak = peak.max(memory);
            quiet.extend((0..ROUNDS).map(|_| windlass(self.root.path(), &["up", "-d"]).0));
            if count == 100 {
                self.report_shims();
            }
            down.push(windlass(self.root.path(), &["down"]).0);
        }
        let of = |what: &str| format!("{what}, {count} containers");
        let cold = median(cold.into_iter());
        row(&of("cold up -d / bare shim starts"), cold, Some(median(bare.into_iter())), "1.3");
        row(&of("cold up -d / equal work by hand"), cold, Some(median(equal.into_iter())), "1.3");
        if let Some(compose) = &self.compose {
            let theirs = compose.cold(count);
            row(&of("cold up -d / docker compose up -d"), cold, Some(theirs), "below 1");
        }
        row(&of("no-op up -d"), median(quiet.into_iter()), None, "50 ms at 100");
        row(&of("down"), median(down.into_iter()), None, "1 s at 100");
        println!("{:<52} {:>7.1} MB", of("peak memory of up"), megabytes(peak));
    }

    fn write_stack(&self, count: usize) {
        let mut text = String::from("name: bench\nservices:\n");
        for number in 0..count {
            writeln!(text, "  s{number}: {{ image: ./image, stop_grace_period: 0s }}")
                .expect("a string takes all");
        }
        fs::write(self.root.path().join("project/windlass.yaml"), text).expect("written");
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
            println!("{text:<52} {:>7.2} MB {:>26}", megabytes(*middle), "1.5 MB");
        }
    }
}
