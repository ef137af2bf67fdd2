//! Whether VMs run on KVM or are emulated, and why. Found once per boot of the
//! host by [`super::kvm_probe`], under a deadline.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

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
    launcher: &Launcher,
) -> Result<Choice, QemuError> {
    let wish = if forced == Accel::Auto { wish } else { forced };
    let emulate = |reason| Choice { accelerator: Accelerator::Tcg, emulated: Some(reason) };
    if wish == Accel::Tcg {
        return Ok(emulate("emulation was asked for".to_owned()));
    }
    match (why_not(directories, launcher).await, wish) {
        (None, _) => Ok(Choice { accelerator: Accelerator::Kvm, emulated: None }),
        (Some(reason), Accel::Kvm) => Err(QemuError::NoKvm { reason }),
        (Some(reason), _) => Ok(emulate(reason)),
    }
}

/// Why KVM is not used on this host; `None`: it works.
pub(super) async fn why_not(directories: &Directories, launcher: &Launcher) -> Option<String> {
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
    let reason = probe(launcher).await;
    let found = Found { version: VERSION, boot_id, device: changed, reason: reason.clone() };
    // Not kept: probed again next time.
    drop(atomic::write_cache(&cache, &found));
    reason
}

async fn probe(launcher: &Launcher) -> Option<String> {
    let mut command = Command::from(launcher.command("kvm-probe"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let answer = async {
        let mut child = command.spawn()?;
        let mut said = String::new();
        if let Some(output) = &mut child.stdout {
            output.read_to_string(&mut said).await?;
        }
        std::io::Result::Ok(said)
    };
    match tokio::time::timeout(DEADLINE, answer).await {
        Err(_) => Some(format!(
            "{DEVICE} is there but cannot run a guest: the probe hung for {} ms",
            DEADLINE.as_millis()
        )),
        Ok(Err(error)) => Some(format!("KVM could not be probed: {error}")),
        Ok(Ok(said)) => match said.trim() {
            "ok" => None,
            "" => Some(format!("{DEVICE} is there but the probe was killed")),
            reason => Some(reason.to_owned()),
        },
    }
}
