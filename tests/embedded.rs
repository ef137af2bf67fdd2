//! The embedded engine over real containers, without network and without a
//! registry: what a container sees, and what happens when something dies.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use oci_spec::image::ConfigBuilder;
use support::{busybox_root, launcher, needs_root};
use windlass::engine::embedded::{ContainerImages, Embedded};
use windlass::engine::{EngineError, Exec, ExecCommand, ExecOutput, Images, Streams, Workloads};
use windlass::event::Events;
use windlass::image::{ContainerImage, ImageError};
use windlass::observed::{ObservedInstance, State};
use windlass::plan::{Address, Desired};
use windlass::shim::cgroup::Hierarchies;
use windlass::shim::{Request, look, request};
use windlass::stack::{
    Container, Definition, Drift, ImageSource, InstanceId, Kind, Mount, MountSource, Restart, Role,
    StackName, Workload,
};
use windlass::state::{Directories, InstanceRecord, log, names};

/// One image: busybox.
#[derive(Debug)]
struct Busybox(PathBuf);

impl ContainerImages for Busybox {
    fn container(&self, digest: &str) -> Result<ContainerImage, ImageError> {
        let config = ConfigBuilder::default()
            .env(vec!["FROM_IMAGE=yes".to_owned()])
            .cmd(vec!["sleep".to_owned(), "1000".to_owned()])
            .build()
            .expect("config");
        Ok(ContainerImage {
            digest: digest.to_owned(),
            layers: vec![self.0.clone()],
            config,
            healthcheck: None,
        })
    }
}

#[async_trait]
impl Images for Busybox {
    async fn lookup(&self, _: &ImageSource, _: Kind) -> Result<Option<String>, EngineError> {
        Ok(Some("sha256:test".to_owned()))
    }

    async fn resolve(&self, _: &ImageSource, _: Kind) -> Result<String, EngineError> {
        Ok("sha256:test".to_owned())
    }

    async fn fetch(
        &self,
        _: &ImageSource,
        _: Kind,
        _: bool,
        _: &Events,
    ) -> Result<String, EngineError> {
        Ok("sha256:test".to_owned())
    }
}

/// An engine with one container to be, gone without trace afterwards.
struct World {
    home: tempfile::TempDir,
    engine: Embedded,
    directories: Directories,
    stack: StackName,
    id: InstanceId,
    runtime: tokio::runtime::Runtime,
}

impl World {
    fn new() -> Option<Self> {
        if !needs_root("embedded") {
            return None;
        }
        let home = tempfile::Builder::new().prefix("wl-test-").tempdir().expect("directory");
        let root = home.path().join("root");
        if !busybox_root(&root) {
            return None;
        }
        let directories = Directories::new(Some(home.path()), None);
        let engine = Embedded::new(
            directories.clone(),
            directories.home_id(),
            Arc::new(launcher()),
            Arc::new(Busybox(root)),
        );
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
        let stack = StackName::new("test").expect("name");
        Some(Self { home, engine, directories, stack, id: InstanceId::single("web"), runtime })
    }

    /// A wait that fails the test instead of hanging it.
    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(30), future).await })
            .expect("in time")
    }

    fn desired(&self, container: Container) -> Desired {
        Desired {
            stack: self.stack.clone(),
            id: self.id.clone(),
            workload: workload(container),
            definition: Definition::default(),
            addresses: Vec::new(),
            hostname: "web".into(),
            volumes: BTreeMap::new(),
            search_domain: "test.windlass.internal".into(),
            rerun_cloud_init: false,
        }
    }

    fn up(&self, desired: &Desired) {
        self.wait(async {
            self.engine.create(desired).await.expect("create");
            self.engine.start(desired).await.expect("start");
        });
    }

    /// Runs a script as the container's only process; its exit code and output.
    fn script(
        &self,
        text: &str,
        change: impl FnOnce(&mut Desired, &mut Container),
    ) -> (i32, String) {
        let mut container = sh(text);
        let mut desired = self.desired(Container::default());
        change(&mut desired, &mut container);
        desired.workload.role = Role::Container(Box::new(container));
        self.up(&desired);
        let code = self.wait(self.engine.exited(&self.stack, &self.id)).expect("exit");
        (code, self.log())
    }

    fn log(&self) -> String {
        let directory = self.directories.instance(&self.stack, &self.id).join("log");
        let text = std::fs::read_to_string(directory.join(log::FILE)).unwrap_or_default();
        text.lines()
            .map(|line| line.splitn(4, ' ').nth(3).unwrap_or_default())
            .fold(String::new(), |all, line| all + line + "\n")
    }

    fn all(&self) -> Vec<ObservedInstance> {
        let records = InstanceRecord::of_stack(&self.directories, &self.stack).expect("records");
        self.wait(self.engine.observe(&self.stack, &records)).expect("observe")
    }

    fn observed(&self) -> ObservedInstance {
        let mut all = self.all();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    fn stop(&self, grace: Duration) {
        self.wait(self.engine.stop(&self.stack, &self.id, Some(grace), false)).expect("stop");
    }

    fn exec(&self, command: &ExecCommand) -> ExecOutput {
        self.wait(Exec::exec(&self.engine, &self.stack, &self.id, command)).expect("exec")
    }

    fn run(&self) -> PathBuf {
        self.directories.instance_run(&self.stack, &self.id)
    }

    fn cgroup(&self) -> String {
        names::cgroup(&self.directories.home_id(), &self.stack, &self.id)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.wait(self.engine.remove(&self.stack, &self.id, true)));
    }
}

fn workload(container: Container) -> Workload {
    Workload {
        name: "web".into(),
        role: Role::Container(Box::new(container)),
        image: ImageSource::Reference("busybox".into()),
        replicas: 1,
        hostname: None,
        environment: BTreeMap::new(),
        labels: BTreeMap::new(),
        depends_on: BTreeMap::new(),
        networks: BTreeMap::new(),
        ports: Vec::new(),
        mounts: Vec::new(),
        healthcheck: None,
        restart: Restart::No,
        drift: Drift::default(),
        stop_grace_period: Duration::from_secs(10),
        extra_hosts: BTreeMap::new(),
        secrets: Vec::new(),
        configs: Vec::new(),
    }
}

fn sh(text: &str) -> Container {
    Container { command: Some(vec!["sh".into(), "-c".into(), text.into()]), ..Container::default() }
}

fn capture(argv: &[&str]) -> ExecCommand {
    ExecCommand {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        streams: Streams::Capture,
        ..ExecCommand::default()
    }
}

#[test]
fn it_runs_and_sees_what_docker_would_show() {
    let Some(world) = World::new() else { return };
    let (code, output) = world.script(
        "hostname; echo $FROM_IMAGE $OURS $HOME; grep -c : /etc/hosts; ls /sys/class/net; exit 5",
        |desired, _| {
            desired.workload.environment.insert("OURS".into(), "too".into());
        },
    );
    assert_eq!(code, 5, "{output}");
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(&lines[..2], ["web", "yes too /root"], "{output}");
    assert_eq!(lines[3..], ["lo"], "{output}");
    assert!(matches!(world.observed().state, State::Exited(exit) if exit.code == Some(5)));
    let hierarchies = Hierarchies::find().expect("cgroups");
    assert!(!hierarchies.exists(&world.cgroup()), "its cgroup is left");
}

/// What a container that runs on shows to commands.
fn sleeping(world: &World, change: impl FnOnce(&mut Desired, &mut Container)) -> Desired {
    let mut container = sh("trap 'exit 0' TERM; while :; do sleep 1000 & wait; done");
    let mut desired = world.desired(Container::default());
    change(&mut desired, &mut container);
    desired.workload.role = Role::Container(Box::new(container));
    world.up(&desired);
    desired
}

#[test]
fn commands_run_inside_with_their_own_codes() {
    let Some(world) = World::new() else { return };
    sleeping(&world, |_, _| {});
    let output = world.exec(&capture(&["sh", "-c", "echo out; echo err >&2; exit 3"]));
    assert_eq!((output.code, output.output.as_str()), (3, "out\nerr\n"));
    assert_eq!(world.exec(&capture(&["no-such-program"])).code, 127);
    assert_eq!(world.exec(&capture(&["/etc/passwd"])).code, 126);
    assert_eq!(world.exec(&capture(&["sh", "-c", "kill -9 $$"])).code, 137);
    let mut as_user = capture(&["sh", "-c", "id -u; id -g; id -G; pwd; echo $MINE $HOME; ps"]);
    as_user.user = Some("web".into());
    as_user.working_dir = Some("/tmp".into());
    as_user.environment.insert("MINE".into(), "yes".into());
    let output = world.exec(&as_user).output;
    assert!(output.starts_with("33\n34\n34 40\n/tmp\nyes /srv\n"), "{output}");
    assert!(output.contains("trap"), "the container's own processes are seen: {output}");
    let status = world.exec(&capture(&["grep", "-E", "CapBnd|Seccomp:", "/proc/self/status"]));
    assert!(status.output.contains("00000000a80425fb"), "{}", status.output);
    assert!(status.output.contains("Seccomp:\t2"), "{}", status.output);
}

#[test]
fn a_command_is_cut_off_at_64_kib_and_dies_with_its_caller() {
    let Some(world) = World::new() else { return };
    sleeping(&world, |_, _| {});
    let long = world.exec(&capture(&["dd", "if=/dev/zero", "bs=1024", "count=200"]));
    assert_eq!((long.code, long.output.len()), (0, 64 * 1024));
    let endless = capture(&["sleep", "4321"]);
    let cut = world.runtime.block_on(async {
        let exec = Exec::exec(&world.engine, &world.stack, &world.id, &endless);
        tokio::time::timeout(Duration::from_millis(300), exec).await
    });
    assert!(cut.is_err());
    let gone = "while ps | grep -q '[s]leep 4321'; do :; done";
    assert_eq!(world.exec(&capture(&["sh", "-c", gone])).code, 0);
}

#[test]
fn it_is_confined_as_under_docker() {
    let Some(world) = World::new() else { return };
    let script = "grep -E 'Cap(Eff|Bnd)|NoNewPrivs|Seccomp:' /proc/self/status; \
        mount -t tmpfs none /tmp 2>&1; unshare -U true 2>&1; \
        mknod /tmp/disk b 8 0 2>&1; mknod /tmp/fifo p && echo fifo made; \
        cat /proc/timer_list | wc -c; touch /proc/sys/kernel/x 2>&1; echo 1 > /sys/x";
    let (_, output) = world.script(script, |_, _| {});
    let fields = |name: &str| {
        let line = output.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().last().unwrap_or_default().to_owned()
    };
    assert_eq!(fields("CapEff"), "00000000a80425fb", "{output}");
    assert_eq!(fields("CapBnd"), "00000000a80425fb", "{output}");
    assert_eq!(fields("NoNewPrivs"), "0", "{output}");
    assert_eq!(fields("Seccomp"), "2", "{output}");
    let refused = output.matches("Operation not permitted").count()
        + output.matches("permission denied").count();
    assert!(refused >= 3, "mount, unshare and mknod of a disk fail: {output}");
    assert!(output.contains("fifo made"), "{output}");
    assert!(output.contains("Read-only file system"), "{output}");
}

#[test]
fn capabilities_read_only_and_users_are_as_the_file_says() {
    let Some(world) = World::new() else { return };
    let (_, output) = world.script(
        "id -u; id -G; grep -E 'Cap(Eff|Bnd)' /proc/self/status; touch /x 2>&1; touch /tmp/x && echo ok",
        |desired, container| {
            container.user = Some("web".into());
            container.cap_drop = vec!["ALL".into()];
            container.cap_add = vec!["NET_ADMIN".into()];
            container.read_only = true;
            desired.workload.mounts.push(Mount {
                source: MountSource::Tmpfs { size: Some(1 << 20), mode: None },
                target: "/tmp".into(),
                read_only: false,
            });
        },
    );
    assert!(output.starts_with("33\n34 40\n"), "{output}");
    assert!(output.contains("CapEff:\t0000000000000000"), "{output}");
    assert!(output.contains("CapBnd:\t0000000000001000"), "{output}");
    assert!(output.contains("Read-only file system") && output.ends_with("ok\n"), "{output}");
}

#[test]
fn the_hosts_program_cannot_be_reached_through_proc_self_exe() {
    let Some(world) = World::new() else { return };
    let program = Path::new(env!("CARGO_BIN_EXE_windlass"));
    let before = std::fs::read(program).expect("program");
    std::os::unix::fs::symlink("/proc/self/exe", world.home.path().join("root/bin/sneaky"))
        .expect("link");
    for entrypoint in ["/proc/self/exe", "/bin/sneaky", "sneaky"] {
        let container =
            Container { entrypoint: Some(vec![entrypoint.into()]), ..Container::default() };
        let desired = world.desired(container);
        let error = world.wait(async {
            world.engine.create(&desired).await.expect("create");
            world.engine.start(&desired).await.expect_err("refused")
        });
        let source = std::error::Error::source(&error).expect("source").to_string();
        assert!(source.contains("/proc/self/exe"), "{source}");
    }
    assert!(before == std::fs::read(program).expect("program"), "the program was changed");
    let hierarchies = Hierarchies::find().expect("cgroups");
    assert!(!hierarchies.exists(&world.cgroup()), "its cgroup is left");
}

#[test]
fn what_cannot_start_says_why() {
    let Some(world) = World::new() else { return };
    let attempt = |change: fn(&mut Container)| {
        let mut container = sh("true");
        change(&mut container);
        let desired = world.desired(container);
        let error = world.wait(async {
            world.engine.create(&desired).await.expect("create");
            world.engine.start(&desired).await.expect_err("must fail")
        });
        std::error::Error::source(&error).expect("source").to_string()
    };
    let missing = attempt(|container| container.command = Some(vec!["foo".into()]));
    assert_eq!(missing, "`foo` is not in the image");
    let denied = attempt(|container| container.command = Some(vec!["/etc/passwd".into()]));
    assert!(denied.contains("permission denied"), "{denied}");
    let nobody = attempt(|container| container.user = Some("nobody-here".into()));
    assert_eq!(nobody, "the user `nobody-here` is not in the image");
    let no_signal = attempt(|container| container.stop_signal = Some("SIGNOPE".into()));
    assert!(no_signal.contains("SIGNOPE"), "{no_signal}");
    assert!(matches!(world.observed().state, State::Created));
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

#[test]
fn an_empty_volume_receives_what_the_image_has() {
    let Some(world) = World::new() else { return };
    let data = world.home.path().join("root/data");
    std::fs::write(data.join("seed"), "from the image").expect("seed");
    std::os::unix::fs::chown(&data, Some(33), Some(34)).expect("chown");
    let mount = |read_only| Mount {
        source: MountSource::Volume { name: "v".into(), nocopy: false },
        target: "/data".into(),
        read_only,
    };
    let (code, output) = world.script(
        "cat /data/seed; echo; stat -c %u:%g /data; touch /data/mine",
        |desired, _| {
            desired.volumes.insert("v".into(), "test_v".into());
            desired.workload.mounts.push(mount(false));
        },
    );
    assert_eq!((code, output.as_str()), (0, "from the image\n33:34\n"), "{output}");
    let volume = world.directories.volume("test_v").join("data");
    std::fs::remove_file(volume.join("seed")).expect("remove");
    world.wait(world.engine.remove(&world.stack, &world.id, true)).expect("remove");
    assert!(volume.join("mine").exists(), "a volume outlives its container");
    let (_, output) = world.script("ls /data; touch /data/x 2>&1", |desired, _| {
        desired.volumes.insert("v".into(), "test_v".into());
        desired.workload.mounts.push(mount(true));
    });
    assert!(output.starts_with("mine\n") && output.contains("Read-only"), "{output}");
}

#[test]
fn a_terminal_is_one_inside_and_can_be_attached() {
    let Some(world) = World::new() else { return };
    let mut container = sh("read line; test -t 0 && echo got $line; sleep 1000");
    container.tty = true;
    container.stdin_open = true;
    world.up(&world.desired(container));
    request(&world.run(), &Request::Resize { rows: 30, cols: 100 }).expect("resize");
    let mut attached = windlass::shim::Attached::connect(&world.run()).expect("attach");
    std::io::Write::write_all(&mut attached.socket(), b"hello\n").expect("write");
    let mut seen = String::new();
    while !seen.contains("got hello") {
        let (_, bytes) = attached.next_output().expect("read").expect("still there");
        seen.push_str(&String::from_utf8_lossy(&bytes));
    }
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
