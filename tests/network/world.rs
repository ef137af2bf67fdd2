//! A host of its own for each test: a thread in a network namespace that
//! nobody else sees, with guests in namespaces of theirs.

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use ipnet::Ipv4Net;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use windlass::network::{HostNetworks, NetworkPlan, allocation};
use windlass::shim;
use windlass::stack::StackName;
use windlass::state::{Directories, names};

use super::support;

/// A host with one stack on it.
pub(crate) struct World {
    pub(crate) networks: HostNetworks,
    pub(crate) stack: StackName,
    pub(crate) directories: Directories,
    home: tempfile::TempDir,
}

/// A network namespace, as long as it lives.
pub(crate) struct Namespace(File);

impl World {
    /// The state directory's identity in every test: the namespace differs.
    pub(crate) const HOME: &'static str = "0a1b2c3d";

    /// Runs the test on a host of its own.
    pub(crate) fn run(name: &str, test: impl AsyncFnOnce(&World) + Send + 'static) {
        if !support::needs_root("network") {
            return;
        }
        let thread = std::thread::Builder::new().name(name.to_owned());
        let host = thread.spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
            run("ip link set lo up");
            let world = World::new();
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
            runtime.block_on(test(&world));
        });
        if let Err(panic) = host.expect("a thread").join() {
            std::panic::resume_unwind(panic);
        }
    }

    fn new() -> Self {
        let home = tempfile::Builder::new().prefix("wl-net-").tempdir().expect("directory");
        let directories = Directories::new(Some(home.path()), None);
        let resolvers = home.path().join("resolv.conf");
        std::fs::write(&resolvers, "").expect("write");
        let networks = HostNetworks::new(directories.clone(), Self::HOME, support::launcher())
            .with_resolvers(resolvers);
        Self { networks, stack: stack(), directories, home }
    }

    pub(crate) fn table() -> String {
        names::table(Self::HOME, &stack())
    }

    pub(crate) fn plan(&self, name: &str, subnet: &str) -> NetworkPlan {
        let subnet: Ipv4Net = subnet.parse().expect("subnet");
        NetworkPlan {
            name: name.to_owned(),
            bridge: names::bridge(Self::HOME, &self.stack, name),
            label: names::label(Self::HOME, &self.stack, &format!("network {name}")),
            subnet,
            gateway: allocation::gateway(subnet).expect("gateway"),
            internal: false,
            mtu: 1450,
            domain: format!("{}.windlass.internal", self.stack),
        }
    }

    /// A guest on the network, with a default route by the gateway.
    pub(crate) fn join(plan: &NetworkPlan, address: &str) -> Namespace {
        let last = ip(address).octets()[3];
        let end = format!("g{}-{last}", &plan.bridge[9..]);
        let guest = Namespace::new();
        guest.connect(&end, &format!("{address}/{}", plan.subnet.prefix_len()));
        run(&format!("ip link set {end} master {} up", plan.bridge));
        let route = format!("ip route add default via {}", plan.gateway);
        guest.within(move || run(&route));
        guest
    }

    /// A guest on somebody else's bridge.
    pub(crate) fn join_bridge(bridge: &str, address: &str, gateway: &str) -> Namespace {
        let guest = Namespace::new();
        let end = format!("o-{}", &bridge[bridge.len() - 4..]);
        guest.connect(&end, address);
        run(&format!("ip link set {end} master {bridge} up"));
        let route = format!("ip route add default via {gateway}");
        guest.within(move || run(&route));
        guest
    }

    /// Another machine, on the host's uplink: 192.0.2.1, the host is .7.
    pub(crate) fn outside() -> Namespace {
        let outside = Namespace::new();
        outside.connect("uplink", "192.0.2.1/24");
        run("ip addr add 192.0.2.7/24 dev uplink; ip link set uplink up");
        run("ip route add default via 192.0.2.1");
        // It tries the guests' own addresses, too.
        outside.within(|| run("ip route add 10.77.0.0/16 via 192.0.2.7"));
        outside
    }

    /// Whether bridged frames pass the firewall; `false`: this kernel has no such switch.
    pub(crate) fn set_bridge_filter(value: &str) -> bool {
        let switch = Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables");
        if !switch.exists() {
            return value == "0";
        }
        std::fs::write(switch, value).expect("set the switch");
        true
    }

    pub(crate) fn set_resolvers(&self, text: &str) {
        let new = self.home.path().join("resolv.conf.new");
        std::fs::write(&new, text).expect("write");
        std::fs::rename(&new, self.home.path().join("resolv.conf")).expect("rename");
    }

    pub(crate) fn name_server_pid(&self, plan: &NetworkPlan) -> i32 {
        let hashed = names::hash(&["network", &plan.name], 8);
        let directory = self.directories.stack_run(&self.stack).join(format!("n-{hashed}"));
        shim::look(&directory).expect("it runs").status.pid
    }

    /// The one forwarder's.
    pub(crate) fn forwarder_pid(&self) -> i32 {
        let alive = self.processes().into_iter().filter_map(|directory| shim::look(&directory));
        alive.map(|alive| alive.status.pid).next().expect("it runs")
    }

    /// Kills a process of the stack and waits until it is gone.
    pub(crate) fn kill(pid: i32) {
        let start = shim::process::start_time(pid).expect("it runs");
        let watched = shim::process::watch(pid, start).expect("watch").expect("it runs");
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("kill");
        let mut end = [nix::poll::PollFd::new(
            std::os::fd::AsFd::as_fd(&watched),
            nix::poll::PollFlags::POLLIN,
        )];
        assert_eq!(nix::poll::poll(&mut end, 5000_u16).expect("poll"), 1);
    }

    fn processes(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.directories.stack_run(&self.stack));
        entries.into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for alive in self.processes().iter().filter_map(|directory| shim::look(directory)) {
            let own = [(alive.process, alive.status.pid), (alive.shim, alive.status.shim_pid)];
            for (_, pid) in own.into_iter().filter(|(alive, _)| *alive) {
                // It may have ended by itself.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
}

impl Namespace {
    fn new() -> Self {
        let thread = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
            run("ip link set lo up");
            File::open("/proc/thread-self/ns/net").expect("its file")
        });
        Self(thread.join().expect("a thread"))
    }

    /// Runs something on a thread in here.
    pub(crate) fn within<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let namespace = self.0.try_clone().expect("clone");
        let thread = std::thread::spawn(move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).expect("enter");
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// A cable: `end` stays with the caller, `eth0` with the address comes here.
    fn connect(&self, end: &str, address: &str) {
        use std::os::fd::AsRawFd;
        let here = format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd());
        run(&format!("ip link add {end} type veth peer name eth0 netns {here}"));
        let configure = format!("ip addr add {address} dev eth0; ip link set eth0 up");
        self.within(move || run(&configure));
    }
}

fn stack() -> StackName {
    StackName::new("shop").expect("a name")
}

pub(crate) fn ip(text: &str) -> Ipv4Addr {
    text.parse().expect("an address")
}

/// Runs a line of shell in the calling thread's namespace; what it printed.
pub(crate) fn run(line: &str) -> String {
    let output = Command::new("sh").args(["-ec", line]).output().expect("run a shell");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`{line}`: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether the program is installed; says so where it is not, fails where it must be.
pub(crate) fn has(program: &str) -> bool {
    if Command::new(program).arg("--version").output().is_ok() {
        return true;
    }
    let required = std::env::var("REQUIRE_ENGINES").unwrap_or_default();
    assert!(!required.split(',').any(|name| name == "network"), "`{program}` is required");
    #[expect(clippy::print_stderr, reason = "the test's own word")]
    {
        eprintln!("skipped: `{program}` is not installed");
    }
    false
}
