//! Whether VMs run on KVM or are emulated, and why. Found once per boot of the
//! host by [`super::kvm_probe`], under a deadline.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::command_line::Accelerator;
use super::error::QemuError;
use crate::shim::{Launcher, process};
use crate::stack::vm::Accel;
use crate::state::{Directories, atomic};

const VERSION: u32 = 1;
const DEVICE: &str = "/dev/kvm";
/// A working KVM answers within 20 ms.
const DEADLINE: Duration = Duration::from_millis(300);

/// How a VM's instructions are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    /// What QEMU is told.
    pub(super) accelerator: Accelerator,
    /// Why it is emulated; `None`: KVM.
    pub(super) emulated: Option<String>,
}

/// What the probe found in this boot.
#[derive(Debug, Serialize, Deserialize)]
struct Found {
    version: u32,
    boot_id: String,
    /// When the device last changed: loading another module makes it anew.
    device: i64,
    /// Why KVM is not used; `None`: it works.
    reason: Option<String>,
}

/// What the VM's own wish and the host's abilities come to. `forced` is
/// `WINDLASS_ACCEL`, which goes before the file.
pub(super) async fn choose(
    wish: Accel,
    forced: Accel,
    directories: &Directories,
    launcher: &Arc<Launcher>,
) -> Result<Choice, QemuError> {
    let wish = if forced == Accel::Auto { wish } else { forced };
    let emulate = |reason| Choice { accelerator: Accelerator::Tcg, emulated: Some(reason) };
    if wish == Accel::Tcg {
        return Ok(emulate("emulation was asked for".to_owned()));
    }
    let (directories, launcher) = (directories.clone(), Arc::clone(launcher));
    let found = tokio::task::spawn_blocking(move || why_not(&directories, &launcher)).await?;
    match (found, wish) {
        (None, _) => Ok(Choice { accelerator: Accelerator::Kvm, emulated: None }),
        (Some(reason), Accel::Kvm) => Err(QemuError::NoKvm { reason }),
        (Some(reason), _) => Ok(emulate(reason)),
    }
}

/// Why KVM is not used on this host; `None`: it works. Blocks, for the deadline
/// at most and once per boot.
pub fn why_not(directories: &Directories, launcher: &Launcher) -> Option<String> {
    let Ok(device) = Path::new(DEVICE).metadata() else {
        return Some(format!("there is no {DEVICE}"));
    };
    let cache: PathBuf = directories.run.join("kvm.json");
    let (boot_id, changed) = (process::boot_id(), device.ctime());
    if let Ok(Some(found)) = atomic::read_versioned::<Found>(&cache, VERSION)
        && found.boot_id == boot_id
        && found.device == changed
    {
        return found.reason;
    }
    let reason = probe(launcher.command("kvm-probe"));
    let found = Found { version: VERSION, boot_id, device: changed, reason: reason.clone() };
    // Not kept: probed again next time.
    drop(atomic::write_cache(&cache, &found));
    reason
}

/// Runs the probe guest under the deadline.
fn probe(mut command: Command) -> Option<String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Some(format!("KVM could not be probed: {error}")),
    };
    let (sender, answer) = mpsc::channel();
    let output = child.stdout.take();
    std::thread::spawn(move || {
        let mut said = String::new();
        let read = output.map(|mut output| output.read_to_string(&mut said));
        // Nobody listens any more after the deadline.
        drop(sender.send(read.map(|_| said)));
    });
    let answer = answer.recv_timeout(DEADLINE);
    drop(child.kill());
    // A processor that hangs in the kernel may take its time: nobody waits for it.
    std::thread::spawn(move || child.wait());
    match answer.ok().flatten().as_deref().map(str::trim) {
        None => Some(format!(
            "{DEVICE} is there but cannot run a guest: the probe hung for {} ms",
            DEADLINE.as_millis()
        )),
        Some("ok") => None,
        Some("") => Some(format!("{DEVICE} is there but the probe was killed")),
        Some(reason) => Some(reason.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Instant;

    use super::{DEADLINE, probe};

    fn script(line: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", line]);
        command
    }

    #[test]
    fn only_an_ok_in_time_is_one() {
        assert_eq!(probe(script("echo ok")), None);
        assert_eq!(probe(script("echo too slow")).as_deref(), Some("too slow"));
        assert!(probe(script("kill -9 $$")).expect("a reason").contains("was killed"));
        let before = Instant::now();
        assert!(probe(script("exec sleep 60")).expect("a reason").contains("hung"));
        assert!(before.elapsed() < DEADLINE * 20);
    }
}
