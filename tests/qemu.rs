//! The qemu engine on a real QEMU and a real Debian with a real cloud-init.
//! Booting takes most of a minute where it is emulated, so one guest answers
//! many questions.
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

#[path = "qemu/home.rs"]
mod home;

use std::process::Command;
use std::time::Duration;

use home::{Home, available};
use windlass::engine::{ErrorKind, Workloads};
use windlass::event::Events;
use windlass::observed::{Readiness, State};
use windlass::plan::Desired;
use windlass::stack::vm::Disk;
use windlass::stack::workload::{SecretFile, SecretSource};
use windlass::stack::{InstanceId, Mount, MountSource, Role, StackName, Vm, VolumeKind};

/// User-data that replaces every key ours could have been in.
const HOSTILE: &str = "#cloud-config
users: [ { name: alice, shell: /bin/bash } ]
ssh_authorized_keys: [ 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJb5Z7mC3mmbxnFxPUNWRZpIc7Hd9Aybfm2FB2Ls0xpX x' ]
disable_root: true
runcmd: [ 'cat /run/secrets/word /srv/dir/hello /srv/one > /root/first' ]
";
const SECOND: &str = "#cloud-config
runcmd: [ 'echo é $((6*7)) > /root/second' ]
";

/// A directory that the image has something in; a disk volume goes there.
const FILLED: &str = "/usr/share/doc/cloud-init";

fn vm(desired: &mut Desired) -> &mut Vm {
    match &mut desired.workload.role {
        Role::Vm(vm) => vm,
        Role::Container(_) => panic!("a VM"),
    }
}

fn mount(source: std::path::PathBuf, target: &str, read_only: bool) -> Mount {
    let source = MountSource::Bind { path: source, create: false };
    Mount { source, target: target.to_owned(), read_only }
}

fn furnish(home: &Home, desired: &mut Desired) {
    home.file("dir/hello", "hello\n");
    let one = home.file("one", "one\n");
    home.file("beside", "not shared\n");
    desired.workload.mounts = vec![
        mount(home.path("dir"), "/srv/dir", true),
        mount(one, "/srv/one", false),
        mount(home.path("dir"), "/srv/both", false),
    ];
    desired.workload.environment = [("GREETING".to_owned(), "it's $me".to_owned())].into();
    desired.workload.extra_hosts = [("elsewhere".to_owned(), "192.0.2.7".to_owned())].into();
    desired.workload.secrets = vec![SecretFile {
        target: "/run/secrets/word".to_owned(),
        source: SecretSource::Content("swordfish\n".to_owned()),
        uid: None,
        gid: None,
        mode: 0o400,
    }];
    let volume = home.directories.volume("t_data");
    std::fs::create_dir_all(&volume).expect("volume");
    let made = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2"])
        .arg(volume.join("disk.qcow2"))
        .arg("64M")
        .status();
    assert!(made.expect("qemu-img").success());
    desired.volumes = [("data".to_owned(), "t_data".to_owned())].into();
    vm(desired).disks =
        vec![Disk { volume: "data".to_owned(), target: FILLED.to_owned(), read_only: false }];
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("kill");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_from_its_making_to_its_end() {
    if !available() {
        return;
    }
    let home = Home::new("life").await;
    let (events, _listener) = Events::channel();
    let mut desired = home.vm("db", &[HOSTILE, SECOND]);
    furnish(&home, &mut desired);
    let id = desired.id.clone();
    home.engine.create(&desired).await.expect("create");
    home.engine.create(&desired).await.expect("create again");
    assert_eq!(home.observed(&id).await.state, State::Created);

    home.engine.start(&desired).await.expect("start");
    let seen = home.observed(&id).await;
    assert!(matches!(seen.state, State::Running { .. }), "{seen:?}");
    assert_eq!(seen.ready, Readiness::Waiting);
    assert!(seen.minded && !seen.ever_ready);
    home.engine.start(&desired).await.expect("starting what runs changes nothing");
    assert_eq!(home.observed(&id).await.state, seen.state);

    home.engine.ready(&home.stack, &id, &events).await.unwrap_or_else(|error| {
        panic!("{}", Home::chain(&error));
    });
    let seen = home.observed(&id).await;
    assert_eq!(seen.ready, Readiness::Ready);
    assert!(seen.ever_ready);
    let other = StackName::new("other").expect("stack");
    assert_eq!(home.engine.memory_in_use(&other).expect("read"), 768 << 20);
    assert_eq!(home.engine.memory_in_use(&home.stack).expect("read"), 0);

    what_is_inside(&home, &id).await;
    what_happens_to_its_processes(&home, &id).await;
    its_second_run(&home, desired).await;
}

async fn what_is_inside(home: &Home, id: &InstanceId) {
    let said = home.say(id, "cat /root/first /root/second; id -un").await;
    assert_eq!(said.output, "swordfish\nhello\none\né 42\nroot\n");
    let said = home.say(id, "stat -c %a /run/secrets/word; hostname; exit 7").await;
    assert_eq!((said.output.as_str(), said.code), ("400\ndb\n", 7));
    let said = home.say(id, "echo \"$GREETING\"; getent hosts elsewhere").await;
    assert!(said.output.starts_with("it's $me\n192.0.2.7"), "{}", said.output);
    let said = home
        .say(id, "touch /srv/dir/x; ls /srv/dir; echo more >> /srv/one; echo x > /srv/both/new")
        .await;
    assert!(said.output.contains("Read-only file system"), "{}", said.output);
    assert_eq!(std::fs::read_to_string(home.path("one")).expect("one"), "one\nmore\n");
    assert_eq!(std::fs::read_to_string(home.path("dir/new")).expect("new"), "x\n");
    let said = home.say(id, &format!("findmnt -no FSTYPE {FILLED}; ls {FILLED}")).await;
    assert!(said.output.contains("ext4") && said.output.contains("copyright"), "{}", said.output);
    let said = home.say(id, "getent passwd debian; ls /run/windlass/seed; grep -r swordfish /var/lib/cloud /var/log").await;
    assert_eq!(said.output, "");
}

async fn what_happens_to_its_processes(home: &Home, id: &InstanceId) {
    let run = home.directories.instance_run(&home.stack, id);
    let status =
        |directory: &std::path::Path| windlass::shim::look(directory).expect("alive").status;
    let before = status(&run);
    kill(before.shim_pid);
    kill(status(&run.join("fs1")).shim_pid);
    let exit = home.directories.instance(&home.stack, id).join("none");
    let ended =
        tokio::time::timeout(Duration::from_millis(200), windlass::shim::ended(&run, &exit));
    assert!(ended.await.is_err(), "QEMU survives its shim");
    let seen = home.observed(id).await;
    assert!(!seen.minded && seen.is_alive());
    home.engine.adopt(&home.stack, id).await.expect("adopt");
    let seen = home.observed(id).await;
    assert!(seen.minded);
    assert_eq!(seen.state, State::Running { pid: before.pid });
    assert_eq!(seen.ready, Readiness::Ready);

    let share = run.join("fs2");
    let dead = status(&share);
    kill(dead.pid);
    windlass::shim::ended(&share, &share.join("exit.json")).await.expect("its end");
    let State::Degraded { reason, .. } = home.observed(id).await.state else {
        panic!("a VM without its virtiofsd is degraded");
    };
    assert!(reason.contains("/srv/both"), "{reason}");
}

/// Other user-data, which fails, at another address, on the same disk.
async fn its_second_run(home: &Home, mut desired: Desired) {
    let (events, _listener) = Events::channel();
    let id = desired.id.clone();
    home.engine.stop(&home.stack, &id, None, false).await.expect("stop");
    let seen = home.observed(&id).await;
    // It was adopted: nobody is its parent any more, so nobody hears its exit code.
    assert!(matches!(&seen.state, State::Exited(exit) if exit.code.is_none()), "{seen:?}");
    assert!(!home.directories.instance_run(&home.stack, &id).join("fs0/status.json").exists());

    desired.addresses[0].ipv4 = home.host(3);
    desired.rerun_cloud_init = true;
    let documents = &mut vm(&mut desired).cloud_init.as_mut().expect("cloud-init").user_data;
    "#cloud-config\nruncmd: [ 'echo the cause is here; false' ]\n"
        .clone_into(&mut documents[1].body);
    home.engine.update(&desired).await.expect("update");
    home.engine.start(&desired).await.expect("start");
    let error = home.engine.ready(&home.stack, &id, &events).await.expect_err("runcmd fails");
    assert_eq!(error.kind, ErrorKind::Failed);
    let text = Home::chain(&error);
    assert!(text.contains("runcmd") && text.contains("the cause is here"), "{text}");
    let seen = home.observed(&id).await;
    assert!(matches!(seen.ready, Readiness::Failed { .. }) && seen.ever_ready);
    let said = home.say(&id, "ip -4 -o address; cat /root/second").await;
    assert!(said.output.contains(&home.host(3).to_string()), "{}", said.output);
    assert!(!said.output.contains(&format!("{}/", home.host(2))), "{}", said.output);
    assert!(said.output.ends_with("é 42\n"), "the disk is the same: {}", said.output);

    home.engine.kill(&home.stack, &id, 9).await.expect("kill");
    let seen = home.observed(&id).await;
    assert!(matches!(&seen.state, State::Exited(exit) if exit.code == Some(137)) && seen.held);
    home.engine.remove(&home.stack, &id, true).await.expect("remove");
    home.engine.remove(&home.stack, &id, true).await.expect("remove again");
    assert!(home.all().await.is_empty());
    assert!(home.directories.volume("t_data").join("disk.qcow2").exists());
}

/// A kernel whose first process is a shell never says that it is ready.
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_never_becomes_ready_shows_its_console() {
    if !available() {
        return;
    }
    let home = Home::new("mute").await;
    let (events, _listener) = Events::channel();
    let mut desired = home.vm("db", &[]);
    let id = desired.id.clone();
    vm(&mut desired).memory = 256 << 20;
    vm(&mut desired).cmdline = Some("init=/bin/sh".to_owned());
    vm(&mut desired).ready_timeout = Some(Duration::from_secs(12));
    home.engine.create(&desired).await.expect("create");
    home.engine.start(&desired).await.expect("start");
    let error = home.engine.ready(&home.stack, &id, &events).await.expect_err("silence");
    assert_eq!(error.kind, ErrorKind::TimedOut);
    let text = Home::chain(&error);
    assert!(text.contains("within 12s") && text.lines().count() > 10, "{text}");
    assert!(text.lines().count() <= 21, "twenty lines of the console at most: {text}");
    assert!(!home.observed(&id).await.ever_ready);

    // The same once more, and QEMU is killed while it is waited for.
    home.engine.stop(&home.stack, &id, Some(Duration::ZERO), false).await.expect("stop");
    vm(&mut desired).ready_timeout = None;
    home.engine.start(&desired).await.expect("start");
    let State::Running { pid } = home.observed(&id).await.state else { panic!("it runs") };
    let waiting = home.engine.ready(&home.stack, &id, &events);
    let killing = async { kill(pid) };
    let (waited, ()) = tokio::join!(waiting, killing);
    let error = waited.expect_err("it died");
    assert_eq!(error.kind, ErrorKind::Failed);
    assert!(Home::chain(&error).contains("the VM ended before it was ready"));
    let seen = home.observed(&id).await;
    assert!(matches!(&seen.state, State::Exited(exit) if exit.code == Some(137)), "{seen:?}");
    assert!(!seen.held);
}

#[tokio::test]
async fn a_disk_is_set_aside_and_made_anew() {
    if !available() {
        return;
    }
    let home = Home::new("aside").await;
    let mut desired = home.vm("db", &[]);
    let id = desired.id.clone();
    vm(&mut desired).disk = Some(20 << 30);
    home.engine.create(&desired).await.expect("create");
    let old = std::fs::read(home.directories.instance(&home.stack, &id).join("disk.qcow2"));
    home.engine.set_disk_aside(&home.stack, &id).await.expect("set aside");
    home.engine.set_disk_aside(&home.stack, &id).await.expect("nothing is left to set aside");
    assert_eq!(home.observed(&id).await.state, State::HalfMade);
    let kept = home.directories.volume("aside_db.old-1").join("disk.qcow2");
    assert!(std::fs::read(&kept).expect("the old disk") == old.expect("disk"));
    let volumes = windlass::volume::Store::new(&home.directories).list().expect("volumes");
    assert_eq!(volumes[0].record.name, "db.old-1");
    assert_eq!(volumes[0].record.kind, VolumeKind::Disk { size: 20 << 30 });
    home.engine.create(&desired).await.expect("create");
    assert_eq!(home.observed(&id).await.state, State::Created);

    vm(&mut desired).disk = Some(10 << 30);
    let error = home.engine.update(&desired).await.expect_err("a disk does not shrink");
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.help.expect("help").contains("--replace-disk db"));

    home.engine.remove(&home.stack, &id, false).await.expect("remove");
    assert_eq!(home.observed(&id).await.state, State::Created);
    home.engine.remove(&home.stack, &id, true).await.expect("remove with its disk");
    assert!(home.all().await.is_empty());
    assert!(kept.exists());
}

#[tokio::test]
async fn user_data_that_would_be_ignored_is_refused() {
    if !available() {
        return;
    }
    let home = Home::new("words").await;
    let desired = home.vm("db", &["runcmd: [ ls ]\n"]);
    let error = home.engine.create(&desired).await.expect_err("no header");
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(Home::chain(&error).contains("`0.yaml` begins with `runcmd: [ ls ]`"));
    assert!(home.all().await.is_empty());
}

/// Runs itself once more where there is no program at all.
#[test]
fn without_qemu_it_says_how_to_get_it() {
    const NOWHERE: &str = "/nonexistent";
    if std::env::var("PATH").is_ok_and(|path| path == NOWHERE) {
        let home = tempfile::tempdir().expect("home");
        let directories = windlass::state::Directories::new(Some(home.path()), None);
        let engine = home::engine(&directories);
        let reason = engine.unavailable().expect("unavailable");
        assert!(reason.contains("apt-get install qemu-system-x86"), "{reason}");
        return;
    }
    let own = std::env::current_exe().expect("this test");
    let again = Command::new(own)
        .args(["--exact", "without_qemu_it_says_how_to_get_it"])
        .env("PATH", NOWHERE)
        .output()
        .expect("run");
    let said = String::from_utf8_lossy(&again.stdout);
    assert!(again.status.success() && said.contains("1 passed"), "{said}");
}
