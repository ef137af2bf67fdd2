//! Makes and installs the filter of system calls that every container has
//! unless it is privileged.
//!
//! seccompiler compiles the rules; the kernel is asked here, for seccompiler
//! would set `no_new_privs`, which takes `sudo` and `ping` from a container.
#![expect(unsafe_code, reason = "installing a filter is a system call")]

use std::collections::BTreeMap;

use rustix::thread::CapabilitySet;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::syscalls::{ALLOWED, ALLOWED_BY_NUMBER, WITH_CAPABILITY};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// `personality` may ask for these and nothing else.
const PERSONALITIES: [u64; 5] = [0x0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Flags of `clone` that make namespaces.
const NAMESPACE_FLAGS: u64 = 0x7e02_0000;

/// Kinds of file that `mknod` may make: no devices. A container's own `/dev`
/// has all that it shall reach, so this replaces the device controller, which
/// version 2 of control groups does not have.
const NO_DEVICES: [u64; 4] = [0, libc::S_IFREG as u64, libc::S_IFIFO as u64, libc::S_IFSOCK as u64];

/// Sockets of virtual machines reach the host past every network namespace.
const AF_VSOCK: u64 = 40;

/// Installs the filter for a process with these capabilities.
pub(super) fn install(capabilities: CapabilitySet) -> Result<(), String> {
    let say = |error: seccompiler::BackendError| error.to_string();
    for program in programs(capabilities).map_err(say)? {
        load(&program).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Two filters: what is not allowed fails with EPERM, and `clone3`, whose
/// flags no filter can see, is "not there", so that a libc falls back to `clone`.
fn programs(capabilities: CapabilitySet) -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
    let mut rules: Rules =
        ALLOWED.iter().chain(ALLOWED_BY_NUMBER).map(|call| (*call, Vec::new())).collect();
    for (_, calls) in WITH_CAPABILITY.iter().filter(|(needed, _)| capabilities.contains(*needed)) {
        rules.extend(calls.iter().map(|call| (*call, Vec::new())));
    }
    let free = capabilities.contains(CapabilitySet::SYS_ADMIN);
    if !free {
        rules.insert(libc::SYS_clone, vec![masked(0, NAMESPACE_FLAGS, 0)?]);
    }
    rules.insert(libc::SYS_clone3, Vec::new());
    let not_vsock = condition(0, SeccompCmpOp::Ne, AF_VSOCK)?;
    rules.insert(libc::SYS_socket, vec![SeccompRule::new(vec![not_vsock])?]);
    let personalities = PERSONALITIES
        .iter()
        .map(|value| SeccompRule::new(vec![condition(0, SeccompCmpOp::Eq, *value)?]));
    rules.insert(libc::SYS_personality, personalities.collect::<Result<_, _>>()?);
    for (call, argument) in [(libc::SYS_mknod, 1), (libc::SYS_mknodat, 2)] {
        let kinds = NO_DEVICES.iter().map(|kind| masked(argument, libc::S_IFMT.into(), *kind));
        rules.insert(call, kinds.collect::<Result<_, _>>()?);
    }
    let not_permitted = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let mut programs = vec![filter(rules, not_permitted, SeccompAction::Allow)?];
    if !free {
        let not_there = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
        let only: Rules = [(libc::SYS_clone3, Vec::new())].into();
        programs.push(filter(only, SeccompAction::Allow, not_there)?);
    }
    Ok(programs)
}

fn filter(
    rules: Rules,
    otherwise: SeccompAction,
    matching: SeccompAction,
) -> Result<BpfProgram, seccompiler::BackendError> {
    SeccompFilter::new(rules, otherwise, matching, TargetArch::x86_64)?.try_into()
}

fn condition(
    argument: u8,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}

fn masked(argument: u8, mask: u64, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![condition(argument, SeccompCmpOp::MaskedEq(mask), value)?])
}

fn load(program: &BpfProgram) -> std::io::Result<()> {
    let length = u16::try_from(program.len())
        .map_err(|_| std::io::Error::other("the filter is too long"))?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: `sock_filter` has the kernel's layout in both crates; the kernel
    // copies the program and does not write to it.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use rustix::thread::CapabilitySet;

    use super::programs;

    #[test]
    fn the_filter_fits_the_kernel() {
        for capabilities in [CapabilitySet::empty(), CapabilitySet::all()] {
            for program in programs(capabilities).expect("program") {
                assert!(program.len() < 4096, "{} instructions", program.len());
            }
        }
    }
}
