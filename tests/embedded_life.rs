//! The embedded engine over real containers: how they live and die, what is
//! left of them, and what happens when something dies that should not.

mod support;
#[path = "embedded/world.rs"]
mod world;
#[path = "support/workloads.rs"]
mod workloads;

use std::path::{Path, PathBuf};
use std::time::Duration;

use windlass::engine::Workloads;
use windlass::observed::State;
use windlass::plan::Address;
use windlass::shim::cgroup::Hierarchies;
use windlass::shim::{Request, look, request};
use windlass::stack::{Container, Role};
use windlass::state::InstanceRecord;
use world::{World, capture, sh, sleeping};

#[test]
fn groups_that_nobody_has_any_more_go_with_the_next_call() {
    let Some(world) = World::new() else { return };
    let hierarchies = Hierarchies::find().expect("cgroups");
    let cgroup = world.cgroup();
    let of_stack = Path::new(&cgroup).parent().expect("the stack's").to_owned();
    let stale = of_stack.join("gone-1").display().to_string();
    hierarchies.make(&stale).expect("what a killed test left");
    sleeping(&world, |_, _| {});
    assert!(!hierarchies.exists(&stale));
    assert!(hierarchies.exists(&cgroup));
    world.wait(world.engine.remove(&world.stack, &world.id, true)).expect("remove");
    assert!(!hierarchies.exists(&of_stack.display().to_string()));
}

#[test]
fn one_that_ignores_sigterm_is_killed_after_its_grace() {
    let Some(world) = World::new() else { return };
    let desired = world.desired(sh("trap '' TERM; while :; do sleep 1; done"));
    world.up(&desired);
    world.stop(Duration::from_millis(200));
    assert!(matches!(world.observed().state, State::Exited(exit) if exit.code == Some(137)));
}

#[test]
fn a_paused_one_is_seen_and_can_be_stopped() {
    let Some(world) = World::new() else { return };
    sleeping(&world, |_, _| {});
    request(&world.run(), &Request::Pause).expect("pause");
    assert!(matches!(world.observed().state, State::Paused { .. }));
    world.wait(world.engine.unpause(&world.stack, &world.id)).expect("unpause");
    assert!(matches!(world.observed().state, State::Running { .. }));
    request(&world.run(), &Request::Pause).expect("pause");
    world.stop(Duration::from_secs(20));
    assert!(matches!(world.observed().state, State::Exited(exit) if exit.code == Some(0)));
}

#[test]
fn lack_of_memory_is_recorded() {
    let Some(world) = World::new() else { return };
    let (code, _) = world.script("dd if=/dev/zero of=/dev/null bs=200M count=1", |_, container| {
        container.mem_limit = Some(32 << 20);
        container.command = Some(vec![
            "dd".into(),
            "if=/dev/zero".into(),
            "of=/dev/null".into(),
            "bs=200M".into(),
            "count=1".into(),
        ]);
    });
    assert_eq!(code, 137);
    assert!(matches!(world.observed().state, State::Exited(exit) if exit.out_of_memory));
}

#[test]
fn limits_are_set_changed_and_watched() {
    let Some(world) = World::new() else { return };
    let limit = |memory, cpus, pids| {
        move |container: &mut Container| {
            container.mem_limit = Some(memory);
            container.milli_cpus = Some(cpus);
            container.pids_limit = Some(pids);
        }
    };
    let mut desired = sleeping(&world, |_, container| limit(64 << 20, 500, 20)(container));
    let hierarchies = Hierarchies::find().expect("cgroups");
    let in_force = hierarchies.limits(&world.cgroup());
    assert_eq!(
        (in_force.memory, in_force.milli_cpus, in_force.pids),
        (Some(64 << 20), Some(500), Some(20))
    );
    assert!(world.observed().drift.is_empty());
    if let Role::Container(container) = &mut desired.workload.role {
        limit(128 << 20, 1500, 30)(container);
    }
    world.wait(world.engine.update(&desired)).expect("update");
    let in_force = hierarchies.limits(&world.cgroup());
    assert_eq!(
        (in_force.memory, in_force.milli_cpus, in_force.pids),
        (Some(128 << 20), Some(1500), Some(30))
    );
    assert!(world.observed().drift.is_empty());
    let other = windlass::shim::Cgroup { memory: Some(256 << 20), ..in_force };
    hierarchies.limit(&other).expect("limit");
    let drift = world.observed().drift;
    assert_eq!(drift.into_iter().collect::<Vec<_>>(), [("mem_limit".into(), "256MiB".into())]);
}

#[test]
fn a_container_dies_with_its_shim_and_leaves_nothing() {
    let Some(world) = World::new() else { return };
    let desired = sleeping(&world, |_, _| {});
    let alive = look(&world.run()).expect("alive");
    let process = rustix::process::Pid::from_raw(alive.status.shim_pid).expect("pid");
    rustix::process::kill_process(process, rustix::process::Signal::KILL).expect("kill");
    let code = world.wait(world.engine.exited(&world.stack, &world.id)).expect("exit");
    assert_eq!(code, 137);
    assert!(matches!(world.observed().state, State::Exited(exit) if exit.code.is_none()));
    world.wait(world.engine.start(&desired)).expect("start again");
    assert!(matches!(world.observed().state, State::Running { .. }));
    let again = look(&world.run()).expect("alive").status.shim_pid;
    world.wait(world.engine.remove(&world.stack, &world.id, true)).expect("remove");
    assert!(!Path::new(&format!("/proc/{again}/exe")).exists());
    assert!(!Hierarchies::find().expect("cgroups").exists(&world.cgroup()));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    assert!(!mounts.contains(&*world.home.path().to_string_lossy()), "a mount is left");
    assert!(world.all().is_empty());
}

#[test]
fn its_process_killed_from_outside_is_recorded() {
    let Some(world) = World::new() else { return };
    sleeping(&world, |_, _| {});
    let State::Running { pid } = world.observed().state else { panic!("it does not run") };
    let process = rustix::process::Pid::from_raw(pid).expect("pid");
    rustix::process::kill_process(process, rustix::process::Signal::KILL).expect("kill");
    let code = world.wait(world.engine.exited(&world.stack, &world.id)).expect("exit");
    assert_eq!(code, 137);
    assert!(!world.observed().minded);
}

#[test]
fn a_making_that_was_cut_short_is_seen_and_finished() {
    let Some(world) = World::new() else { return };
    let desired = world.desired(sh("true"));
    world.wait(world.engine.create(&desired)).expect("create");
    let directory = world.directories.instance(&world.stack, &world.id);
    let mut record = InstanceRecord::read(&directory).expect("record").expect("record");
    record.complete = false;
    record.write(&directory).expect("write");
    std::fs::write(directory.join("upper/rubbish"), "").expect("rubbish");
    assert!(matches!(world.observed().state, State::HalfMade));
    world.wait(world.engine.create(&desired)).expect("create");
    assert!(matches!(world.observed().state, State::Created));
    assert!(!directory.join("upper/rubbish").exists());
}

/// A bridge of the test's own, gone with it.
struct Bridge(String);

impl Bridge {
    fn new(number: u32, address: &str) -> Self {
        let bridge = Self(format!("wlt{number}-{}", std::process::id()));
        bridge.ip(&["link", "add", &bridge.0, "type", "bridge"]);
        bridge.ip(&["addr", "add", address, "dev", &bridge.0]);
        bridge.ip(&["link", "set", &bridge.0, "up"]);
        bridge
    }

    fn ip(&self, arguments: &[&str]) {
        let status = std::process::Command::new("ip").args(arguments).status().expect("ip");
        assert!(status.success(), "ip {arguments:?} on {}", self.0);
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        drop(std::process::Command::new("ip").args(["link", "del", &self.0]).status());
    }
}

#[test]
fn it_is_on_its_networks_and_leaves_no_interface() {
    let Some(world) = World::new() else { return };
    let bridge = Bridge::new(0, "10.213.77.1/24");
    let host_interface = format!("wltv-{}", std::process::id());
    let sys = PathBuf::from(format!("/sys/class/net/{host_interface}"));
    let desired = sleeping(&world, |desired, _| {
        desired.addresses.push(Address {
            network: "back".into(),
            bridge: bridge.0.clone(),
            host_interface: host_interface.clone(),
            ipv4: "10.213.77.5".parse().expect("address"),
            subnet: "10.213.77.0/24".parse().expect("subnet"),
            gateway: "10.213.77.1".parse().expect("address"),
            default_route: true,
            mac: "02:11:22:33:44:55".into(),
            mtu: 1400,
        });
    });
    let shown = world.exec(&capture(&["sh", "-c", "ip addr; ip route; cat /etc/resolv.conf"]));
    for text in [
        "mtu 1400",
        "02:11:22:33:44:55",
        "10.213.77.5/24 brd 10.213.77.255",
        "default via 10.213.77.1 dev eth0",
        "nameserver 10.213.77.1",
        "search test.windlass.internal",
    ] {
        assert!(shown.output.contains(text), "{text} is not in {}", shown.output);
    }
    let ping = capture(&["ping", "-c", "1", "-W", "5", "10.213.77.1"]);
    assert_eq!(world.exec(&ping).code, 0);
    let label = std::fs::read_to_string(sys.join("ifalias")).expect("ifalias");
    assert!(label.starts_with("windlass:") && label.contains(":test:"), "{label}");
    let master = std::fs::read_link(sys.join("master")).expect("master");
    assert!(master.ends_with(&bridge.0));
    assert!(matches!(world.observed().state, State::Running { .. }));
    bridge.ip(&["link", "del", &host_interface]);
    assert!(matches!(world.observed().state, State::Degraded { .. }));
    world.stop(Duration::from_secs(10));
    world.wait(world.engine.start(&desired)).expect("start again");
    assert!(sys.exists());
    let alive = look(&world.run()).expect("alive");
    let process = rustix::process::Pid::from_raw(alive.status.shim_pid).expect("pid");
    rustix::process::kill_process(process, rustix::process::Signal::KILL).expect("kill");
    world.wait(world.engine.exited(&world.stack, &world.id)).expect("exit");
    // A shim that was killed leaves it to the kernel, which takes its time:
    // the next start must not trip over it.
    world.wait(world.engine.start(&desired)).expect("start at once");
}
