//! The qemu engine on a real QEMU and a real Debian with a real cloud-init.
//! Booting takes most of a minute where it is emulated, so one guest answers
//! many questions.
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

#[path = "qemu/boot_disk.rs"]
mod boot_disk;
#[path = "qemu/home.rs"]
mod home;
#[path = "support/workloads.rs"]
mod workloads;

use std::process::Command;
use std::time::Duration;

use home::{Home, available};
use windlass::cloud_init::blame;
use windlass::engine::qemu::QemuError;
use windlass::engine::qemu::qmp::Qmp;
use windlass::engine::{ErrorKind, Images, Workloads};
use windlass::event::Events;
use windlass::observed::{Readiness, State};
use windlass::plan::Desired;
use windlass::stack::vm::Disk;
use windlass::stack::workload::{SecretFile, SecretSource};
use windlass::stack::{
    ImageSource, InstanceId, Kind, Mount, MountSource, Role, StackName, Vm, VolumeKind,
};

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

const FAILING: &str = "echo the cause is here; false";

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

/// A volume that is a directory, empty as yet.
fn volume(home: &Home, name: &str, target: &str, nocopy: bool) -> Mount {
    std::fs::create_dir_all(home.directories.volume(name).join("data")).expect("volume");
    let source = MountSource::Volume { name: name.to_owned(), nocopy };
    Mount { source, target: target.to_owned(), read_only: false }
}

fn furnish(home: &Home, desired: &mut Desired) {
    home.file("dir/hello", "hello\n");
    let one = home.file("one", "one\n");
    home.file("beside", "not shared\n");
    desired.workload.mounts = vec![
        mount(home.path("dir"), "/srv/dir", true),
        mount(one, "/srv/one", false),
        mount(home.path("dir"), "/srv/both", false),
        volume(home, "filled", "/usr/share/doc/bash", false),
        volume(home, "bare", "/usr/share/doc/dpkg", true),
        Mount {
            source: MountSource::Tmpfs { size: Some(4 << 20), mode: Some(0o750) },
            target: "/scratch".to_owned(),
            read_only: false,
        },
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
    somebody_pauses_it(&home, &id).await;
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
    let said = home.say(id, "findmnt -no FSTYPE,SIZE /scratch; stat -c %a /scratch").await;
    assert_eq!(said.output.split_whitespace().collect::<Vec<_>>(), ["tmpfs", "4M", "750"]);
    let said = home.say(id, "ls -A /usr/share/doc/bash /usr/share/doc/dpkg").await;
    assert!(said.output.ends_with("/usr/share/doc/dpkg:\n"), "nocopy: {}", said.output);
    let filled = home.directories.volume("filled").join("data");
    assert!(filled.join("copyright").exists() && !filled.join(".windlass-filling").exists());
    assert!(said.output.contains("copyright"), "{}", said.output);
    let said = home.say(id, "getent passwd debian; ls /run/windlass/seed; grep -r swordfish /var/lib/cloud /var/log").await;
    assert_eq!(said.output, "");
}

/// Behind our back, as a debugger does: seen, and thawed when that is asked for.
async fn somebody_pauses_it(home: &Home, id: &InstanceId) {
    let socket = home.directories.instance_run(&home.stack, id).join("qmp.sock");
    let mut qmp = Qmp::connect(&socket).await.expect("QMP");
    qmp.execute("stop", serde_json::Value::Null).await.expect("stop");
    drop(qmp);
    let seen = home.observed(id).await;
    assert!(matches!(seen.state, State::Paused { .. }) && !seen.held, "{seen:?}");
    home.engine.unpause(&home.stack, id).await.expect("unpause");
    assert!(matches!(home.observed(id).await.state, State::Running { .. }));
    assert_eq!(home.say(id, "echo it runs").await.output, "it runs\n");
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
    documents[1].body = format!("#cloud-config\nruncmd: [ '{FAILING}' ]\n");
    home.engine.update(&desired).await.expect("update");
    home.engine.start(&desired).await.expect("start");
    let error = home.engine.ready(&home.stack, &id, &events).await.expect_err("runcmd fails");
    assert_eq!(error.kind, ErrorKind::Failed);
    let text = Home::chain(&error);
    assert!(text.contains("runcmd") && text.contains("the cause is here"), "{text}");
    let Some(QemuError::CloudInit(said)) = error.source.downcast_ref() else {
        panic!("{error:?}");
    };
    let documents = &vm(&mut desired).cloud_init.as_ref().expect("cloud-init").user_data;
    let place = &blame::find(documents, said).places[0];
    assert_eq!(place.path, std::path::Path::new("1.yaml"));
    assert_eq!(place.text[place.range.clone()].trim_matches('\''), FAILING);
    assert!(said.ever_ready);
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

/// As distributions publish them: nobody tells it a kernel or a command line.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_image_boots_by_its_own_boot_loader() {
    if !available() || !boot_disk::possible() {
        return;
    }
    let home = Home::new("loader").await;
    let (events, _listener) = Events::channel();
    let disk = home.path("debian-12.qcow2");
    let images = windlass::image::Store::open(&home.directories).expect("store");
    let base = images.lookup(&home::debian(), Kind::Vm).await.expect("store").expect("a base");
    boot_disk::make(&images.disk(&base).expect("a disk"), home.directories.lib.as_path(), &disk);

    let mut desired =
        home.vm("db", &["#cloud-config\nruncmd: [ 'echo by itself > /root/first' ]\n"]);
    desired.workload.image = ImageSource::Path(disk.clone());
    let image = images.fetch(&desired.workload.image, Kind::Vm, false, &events).await;
    let image = images.disk(&image.expect("imported")).expect("a disk");
    assert_eq!(image.boot, windlass::image::Boot::Firmware);
    std::fs::remove_file(&disk).expect("the store has its own");
    let id = desired.id.clone();
    home.engine.create(&desired).await.expect("create");
    home.engine.start(&desired).await.expect("start");
    home.engine.ready(&home.stack, &id, &events).await.unwrap_or_else(|error| {
        panic!("{}", Home::chain(&error));
    });
    let said = home.say(&id, "cat /root/first; cat /proc/cmdline; findmnt -no SOURCE /").await;
    assert_eq!(
        said.output,
        "by itself\nBOOT_IMAGE=/vmlinuz root=/dev/vda1 rw console=ttyS0\n/dev/vda1\n"
    );
    home.engine.kill(&home.stack, &id, 9).await.expect("kill");
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
