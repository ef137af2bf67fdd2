//! What a start cannot do without, done by hand and as directly as possible:
//! the floors that Windlass is compared to. Nothing here observes, plans or
//! makes sure that it could be repeated.
//!
//! - **bare**: so many shims, each with overlay, namespaces and process.
//! - **equal work**: the same, and what a stack gets besides: a bridge (one
//!   `ip -batch`), the same firewall table (one `nft -f -`), a name server under
//!   a shim; per container a durable record, a cgroup and a veth pair with
//!   address and route.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use windlass::engine::Networks;
use windlass::network::ruleset::{Ruleset, RulesetNetwork};
use windlass::network::zone::Zone;
use windlass::network::{HostNetworks, NetworkPlan};
use windlass::shim::{
    Cgroup, Confinement, ContainerPayload, Interface, Launcher, Payload, ShimSpec, VERSION,
};
use windlass::stack::{InstanceId, StackName};
use windlass::state::{Directories, atomic, names};

use super::measure::{kill_and_wait, wait_for};
use super::oci;

/// The range that is set aside for benchmarks (RFC 2544).
const SUBNET: &str = "198.18.77.0/24";

/// Starts containers without Windlass.
pub(crate) struct Floor {
    launcher: Launcher,
    base: PathBuf,
    rootfs: PathBuf,
}

impl Floor {
    pub(crate) fn new(root: &Path) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_windlass"));
        let launcher = Launcher::new(program).expect("the program opens");
        let rootfs = root.join("rootfs");
        for name in ["bin", "proc", "sys", "dev", "etc", "tmp"] {
            fs::create_dir_all(rootfs.join(name)).expect("made");
        }
        let busybox = oci::busybox().expect("busybox-static is installed");
        fs::copy(busybox, rootfs.join("bin/sleep")).expect("copied");
        Self { launcher, base: root.join("floor"), rootfs }
    }

    /// The image's files as a plain directory.
    pub(crate) fn rootfs(&self) -> &Path {
        &self.rootfs
    }

    /// So many containers with nothing around them.
    pub(crate) fn bare(&self, count: usize) -> Duration {
        let specs: Vec<ShimSpec> = (0..count).map(|number| self.spec(number)).collect();
        let began = Instant::now();
        let started = self.start(&specs, cores(), |_| {});
        let took = began.elapsed();
        self.end(started);
        took
    }

    /// The same with everything that a stack has.
    pub(crate) fn equal_work(&self, count: usize) -> Duration {
        let stack = Equal::new(&self.base);
        let specs: Vec<ShimSpec> =
            (0..count).map(|number| stack.furnish(self.spec(number), number)).collect();
        let began = Instant::now();
        stack.make_bridge();
        std::thread::scope(|scope| {
            scope.spawn(|| stack.apply_firewall());
            stack.serve_names(count);
        });
        // Records wait for the disk: all at once, as Windlass does it.
        let started = self.start(&specs, count, |spec| {
            let record = spec.exit_file.with_file_name("instance.json");
            atomic::write(&record, spec).expect("recorded");
        });
        let took = began.elapsed();
        stack.remove(|| self.end(started));
        took
    }

    fn spec(&self, number: usize) -> ShimSpec {
        bare_spec(&self.base.join(number.to_string()), &self.rootfs)
    }

    /// On so many threads; the shims and their processes.
    fn start(
        &self,
        specs: &[ShimSpec],
        threads: usize,
        before: impl Fn(&ShimSpec) + Sync,
    ) -> Vec<(i32, i32)> {
        let left = Mutex::new(specs.iter());
        let pids = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let next = left.lock().expect("not poisoned").next();
                        let Some(spec) = next else { break };
                        before(spec);
                        let status = self.launcher.launch(spec).expect("a bare shim starts");
                        pids.lock().expect("not poisoned").push((status.shim_pid, status.pid));
                    }
                });
            }
        });
        pids.into_inner().expect("not poisoned")
    }

    fn end(&self, started: Vec<(i32, i32)>) {
        for (shim, process) in started {
            kill_and_wait(process);
            wait_for(shim);
        }
        fs::remove_dir_all(&self.base).expect("removed");
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

/// What a stack has besides its containers.
struct Equal {
    runtime: tokio::runtime::Runtime,
    networks: HostNetworks,
    home_id: String,
    stack: StackName,
    plan: NetworkPlan,
}

impl Equal {
    fn new(base: &Path) -> Self {
        let directories = Directories::new(Some(base), None);
        let home_id = directories.home_id();
        let program = Path::new(env!("CARGO_BIN_EXE_windlass"));
        let launcher = Launcher::new(program).expect("the program opens");
        let stack = StackName::new("floor").expect("a name");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let plan = NetworkPlan {
            name: "default".into(),
            bridge: names::bridge(&home_id, &stack, "default"),
            label: names::label(&home_id, &stack, "network default"),
            subnet: SUBNET.parse().expect("a subnet"),
            gateway: Ipv4Addr::new(198, 18, 77, 1),
            internal: false,
            mtu: 1500,
            domain: "floor.windlass.internal".into(),
        };
        let networks = HostNetworks::new(directories, home_id.as_str(), launcher);
        Self { runtime, networks, home_id, stack, plan }
    }

    fn make_bridge(&self) {
        let NetworkPlan { bridge, label, gateway, .. } = &self.plan;
        let script = format!(
            "link add {bridge} type bridge\nlink set {bridge} alias \"{label}\"\n\
             address add {gateway}/24 dev {bridge}\nlink set {bridge} up\n"
        );
        tell("ip", &["-batch", "-"], &script);
    }

    fn apply_firewall(&self) {
        let network = RulesetNetwork {
            bridge: self.plan.bridge.clone(),
            subnet: self.plan.subnet,
            internal: false,
        };
        let table = names::table(&self.home_id, &self.stack);
        let ruleset = Ruleset { table, networks: vec![network], published: BTreeSet::new() };
        tell("nft", &["-f", "-"], &ruleset.text());
    }

    fn serve_names(&self, count: usize) {
        let zone = (0..count).map(|number| (format!("s{number}"), vec![address(number)]));
        let zone = Zone(zone.collect::<BTreeMap<_, _>>());
        let served = self.networks.serve_names(&self.stack, &self.plan, &zone);
        self.runtime.block_on(served).expect("names are served");
    }

    /// Gives a container its cgroup and its interface.
    fn furnish(&self, spec: ShimSpec, number: usize) -> ShimSpec {
        let id = InstanceId::single(&format!("s{number}"));
        let path = names::cgroup(&self.home_id, &self.stack, &id);
        let interface = Interface {
            host_name: names::interface(&self.home_id, &self.stack, &id, "default"),
            bridge: self.plan.bridge.clone(),
            label: names::label(&self.home_id, &self.stack, "interface"),
            ipv4: address(number),
            prefix: 24,
            gateway: Some(self.plan.gateway),
            mac: names::mac(&self.home_id, &self.stack, &id, "default"),
            mtu: self.plan.mtu,
        };
        let cgroup = Some(Cgroup { path, ..Cgroup::default() });
        ShimSpec { cgroup, interfaces: vec![interface], ..spec }
    }

    /// Takes the network away around the end of the containers: the name
    /// server's files lie beside theirs.
    fn remove(&self, end: impl FnOnce()) {
        let removed = self.runtime.block_on(async {
            self.networks.remove_firewall(&self.stack).await?;
            self.networks.remove(&self.stack, &self.plan).await
        });
        removed.expect("the network is removed");
        end();
    }
}

fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, 77, u8::try_from(number + 2).expect("fits the subnet"))
}

fn tell(program: &str, arguments: &[&str], script: &str) {
    let child = Command::new(program).args(arguments).stdin(Stdio::piped()).spawn();
    let mut child = child.expect("it runs");
    let mut input = child.stdin.take().expect("its input");
    input.write_all(script.as_bytes()).expect("told");
    drop(input);
    assert!(child.wait().expect("waited").success(), "`{program}` failed");
}

/// A container with nothing around it: no network, no limits, no record.
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
