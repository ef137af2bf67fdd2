//! Programs that engines call, and firewalls that stand in their way.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Finding;
use crate::engine::qemu::why_not;
use crate::shim::Launcher;
use crate::state::Directories;

/// Where programs are looked for when the caller's `PATH` lacks sbin.
const SBIN: &str = "/usr/local/sbin:/usr/sbin:/sbin";

/// What a program writes; `None` where it cannot be run or says that it failed.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", format!("{path}:{SBIN}"))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The first word of a program's output that looks like a version.
fn version(program: &str, arguments: &[&str]) -> Option<String> {
    let text = output(program, arguments)?;
    let is_version =
        |word: &&str| word.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit());
    let word = text.split_whitespace().find(is_version)?;
    Some(word.trim_start_matches('v').to_owned())
}

pub(super) fn nftables() -> Finding {
    match version("nft", &["--version"]) {
        Some(_) => Finding::well("nftables", "here"),
        None => Finding::broken("nftables", "there is no `nft`", "sudo apt-get install nftables"),
    }
}

pub(super) fn qemu_engine(directories: &Directories) -> Finding {
    let subject = "qemu engine";
    let Some(version) = version("qemu-system-x86_64", &["--version"]) else {
        let help = "sudo apt-get install qemu-system-x86 qemu-utils";
        return Finding::broken(subject, "there is no `qemu-system-x86_64`", help);
    };
    if output("qemu-img", &["--version"]).is_none() {
        let help = "sudo apt-get install qemu-utils";
        return Finding::broken(subject, "there is no `qemu-img`", help);
    }
    match without_kvm(directories) {
        None => Finding::well(subject, format!("QEMU {version}, KVM")),
        Some(reason) => Finding::attention(
            subject,
            format!("QEMU {version}; VMs run emulated, about 20 times slower: {reason}"),
            "on a cloud VM, enable nested virtualisation; check `lscpu | grep Virtualization`",
        ),
    }
}

/// Why KVM is not used; `None`: it works.
fn without_kvm(directories: &Directories) -> Option<String> {
    match Launcher::new(Path::new("/proc/self/exe")) {
        Ok(launcher) => why_not(directories, &launcher),
        Err(error) => Some(error.to_string()),
    }
}

pub(super) fn bootstrap() -> Finding {
    match version("mmdebstrap", &["--version"]) {
        Some(version) => Finding::well("bootstrap", format!("mmdebstrap {version}")),
        None => Finding::attention(
            "bootstrap",
            "there is no `mmdebstrap`: `build.bootstrap` and the fallback of VM images need it",
            "sudo apt-get install mmdebstrap",
        ),
    }
}

/// What follows a repository is the host's own git.
pub(super) fn gitops() -> Finding {
    let subject = "gitops";
    match version("git", &["--version"]) {
        Some(version) => Finding::well(subject, format!("git {version}")),
        None => Finding {
            help: Some("sudo apt-get install git".to_owned()),
            ..Finding::absent(subject, "there is no `git`: only `windlass gitops` needs it")
        },
    }
}

/// Docker drops frames between ports of our bridges unless a rule in its own
/// chain lets them through; Windlass puts that rule there.
pub(super) fn docker_firewall() -> Option<Finding> {
    let bridged = fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-iptables").ok()?;
    let forward = output("iptables", &["-S", "FORWARD"])?;
    if bridged.trim() != "1" || !forward.lines().any(|line| line == "-P FORWARD DROP") {
        return None;
    }
    let detail = "FORWARD drops bridged frames";
    if output("iptables", &["-S", "DOCKER-USER"]).is_some() {
        return Some(Finding {
            subject: "Docker's firewall",
            verdict: super::Verdict::Attention,
            detail: format!("{detail}; Windlass adds a rule to DOCKER-USER for its own bridges"),
            help: None,
        });
    }
    let help = "sudo iptables -I FORWARD -i wl-+ -o wl-+ -j ACCEPT";
    Some(Finding::attention("firewall", detail, help))
}

/// firewalld and ufw have zones and policies of their own that nothing in our
/// table overrides.
pub(super) fn other_firewalls() -> Option<Finding> {
    if output("firewall-cmd", &["--state"]).is_some() {
        let help = "sudo firewall-cmd --permanent --zone=trusted --add-interface='wl-+' && sudo firewall-cmd --reload";
        return Some(Finding::attention("firewall", "firewalld filters bridges", help));
    }
    let ufw = fs::read_to_string("/etc/ufw/ufw.conf").unwrap_or_default();
    if ufw.lines().any(|line| line.trim() == "ENABLED=yes") && Path::new("/usr/sbin/ufw").exists() {
        let help = "sudo ufw route allow in on wl-+ && sudo ufw allow in on wl-+ to any port 53";
        return Some(Finding::attention("firewall", "ufw filters forwarded frames", help));
    }
    None
}
