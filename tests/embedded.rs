//! The embedded engine over real containers: what a container sees and may do.

mod support;
#[path = "embedded/world.rs"]
#[expect(dead_code, reason = "the tests of life and death use the rest")]
mod world;
#[path = "support/workloads.rs"]
mod workloads;

use std::path::Path;
use std::time::Duration;

use windlass::engine::{Exec, Workloads};
use windlass::observed::State;
use windlass::shim::cgroup::Hierarchies;
use windlass::shim::{Request, request};
use windlass::stack::{Container, Mount, MountSource};
use world::{World, capture, sh, sleeping};

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
fn one_that_is_allowed_everything_has_the_hosts_devices() {
    let Some(world) = World::new() else { return };
    let count = "find /dev -type c -o -type b | grep -v -e /dev/pt -e /dev/console | wc -l";
    let of_host = std::process::Command::new("sh").args(["-c", count]).output().expect("count");
    let script = format!("{count}; test -c /dev/net/tun && head -c 1 /dev/zero | wc -c");
    let (code, output) = world.script(&script, |_, container| container.privileged = true);
    assert_eq!(code, 0, "{output}");
    let of_host = String::from_utf8_lossy(&of_host.stdout).trim().to_owned();
    assert_eq!(output, format!("{of_host}\n1\n"));
    world.wait(world.engine.remove(&world.stack, &world.id, true)).expect("remove");
    let (_, output) = world.script(count, |_, _| {});
    assert_eq!(output, "6\n", "others have their own few");
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
