//! How long Windlass itself takes around a VM: until its QEMU runs, and from a
//! guest's word that it is ready to the start of what waits for it. A real QEMU
//! runs a guest that does nothing but halt; the word is the one that a guest
//! would say, written where QEMU writes it: no guest's boot is in the figures.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use windlass::stack::{InstanceId, StackName};
use windlass::state::Directories;

use super::measure::{ROUNDS, absent, answers, command, median, row, windlass};

const TO_QEMU: &str = "up -d until a VM's QEMU runs";
const TO_NEXT: &str = "a guest's ready word to the next step";

const STACK: &str = "name: bench
vms:
  guest: { image: ./halt.raw, memory: 64MiB, stop_grace_period: 0s }
services:
  next:
    image: ./image
    stop_grace_period: 0s
    depends_on: { guest: { condition: service_ready } }
";

/// The two rows of VMs.
pub(crate) fn rows(root: &Path) {
    if !answers("qemu-system-x86_64", &["--version"]) || !answers("qemu-img", &["--version"]) {
        absent(TO_QEMU, "QEMU is not installed");
        return;
    }
    fs::write(root.join("project/windlass.yaml"), STACK).expect("written");
    fs::write(root.join("project/halt.raw"), halting_disk()).expect("written");
    // Once for what is kept: the image, what QEMU can do, whether KVM works.
    once(root);
    let (to_qemu, to_next): (Vec<_>, Vec<_>) = (0..ROUNDS).map(|_| once(root)).unzip();
    row(TO_QEMU, median(to_qemu.into_iter()), None, "150 ms");
    row(TO_NEXT, median(to_next.into_iter()), None, "50 ms");
}

/// A disk whose boot sector is `cli; hlt`.
fn halting_disk() -> Vec<u8> {
    let mut disk = vec![0; 1 << 20];
    disk[..2].copy_from_slice(&[0xfa, 0xf4]);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk
}

fn once(root: &Path) -> (Duration, Duration) {
    let began = SystemTime::now();
    let mut up = command(root, &["--progress", "json", "up", "-d"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut events = BufReader::new(up.stderr.take().expect("its story")).lines();
    let mut until = |kind: &str, doing: &str| {
        let is_it = |event: &Value| event["kind"] == kind && event["doing"] == doing;
        let said = events.by_ref().map(|line| line.expect("a line"));
        let mut said = said.map(|line| serde_json::from_str(&line).expect("an event"));
        assert!(said.any(|event| is_it(&event)), "no {kind} was {doing}");
    };
    until("vm", "waiting for cloud-init");
    let guest = Guest::new(root);
    let to_qemu = guest.runs_since().duration_since(began).expect("it ran after it was asked for");
    let said = Instant::now();
    guest.says_ready();
    until("container", "starting");
    let to_next = said.elapsed();
    events.for_each(drop);
    assert!(up.wait().expect("waited").success(), "up failed");
    windlass(root, &["down", "-v"]);
    (to_qemu, to_next)
}

struct Guest {
    directories: Directories,
    stack: StackName,
    id: InstanceId,
}

impl Guest {
    fn new(root: &Path) -> Self {
        let directories = Directories::new(Some(&root.join("home")), None);
        let stack = StackName::new("bench").expect("a name");
        Self { directories, stack, id: InstanceId::single("guest") }
    }

    /// The shim writes its status as soon as the program runs.
    fn runs_since(&self) -> SystemTime {
        let status = self.directories.instance_run(&self.stack, &self.id).join("status.json");
        fs::metadata(status).and_then(|found| found.modified()).expect("a shim minds it")
    }

    fn says_ready(&self) {
        let boot = self.directories.instance_run(&self.stack, &self.id).join("boot.json");
        let boot: Value =
            serde_json::from_slice(&fs::read(boot).expect("it was started")).expect("a record");
        let word = json!({ "nonce": boot["nonce"], "result": { "v1": { "errors": [] } } });
        let port = self.directories.instance(&self.stack, &self.id).join("ready");
        let mut port = File::options().append(true).open(port).expect("its port");
        port.write_all(format!("{word}\n").as_bytes()).expect("said");
    }
}
