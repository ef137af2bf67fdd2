//! Whether KVM runs code here, found by running some: `/dev/kvm` also opens
//! where there is no hardware behind it and a kernel would hang.
//!
//! The guest counts down in ring 0 and does one `LOCK CMPXCHG16B`; it runs in a
//! process of its own, `windlass internal kvm-probe`, because a virtual
//! processor that hangs can only be left by killing it.
#![expect(unsafe_code, reason = "KVM is handed the guest's memory by its address")]

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, kvm_segment, kvm_sregs, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd};

/// Times the guest counts: a tenth of a millisecond where KVM works.
const LOOPS: u32 = 100_000;
/// Loops in a second below which nobody wants it: real ones make 500 million.
const SLOW: f64 = 5e6;

const CODE: u64 = 0x4000;
const DATA: u64 = 0x8000;
const SIZE: usize = 0x1_0000;
const MARK: u8 = b'W';

/// The guest's memory.
#[repr(C, align(4096))]
struct Memory([u8; SIZE]);

/// What the child process does: `ok`, or why KVM is not used, on standard output.
pub fn main() -> ExitCode {
    let said = match probe() {
        Ok(()) => "ok".to_owned(),
        Err(reason) => reason,
    };
    let written = writeln!(std::io::stdout(), "{said}");
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn probe() -> Result<(), String> {
    let opens = |error: kvm_ioctls::Error| format!("/dev/kvm cannot be opened: {error}");
    let kvm = Kvm::new().map_err(opens)?;
    let mut memory = Box::new(Memory([0; SIZE]));
    lay_out(&mut memory.0);
    let refused = |error: kvm_ioctls::Error| format!("/dev/kvm makes no machine: {error}");
    let vm = kvm.create_vm().map_err(refused)?;
    let region = kvm_userspace_memory_region {
        slot: 0,
        flags: 0,
        guest_phys_addr: 0,
        memory_size: SIZE as u64,
        userspace_addr: memory.0.as_mut_ptr() as u64,
    };
    // SAFETY: the memory is page-aligned, of this size, and dropped after the
    // machine: it was made before it.
    unsafe { vm.set_user_memory_region(region) }.map_err(refused)?;
    let mut vcpu = vm.create_vcpu(0).map_err(refused)?;
    let features = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES).map_err(refused)?;
    vcpu.set_cpuid2(&features).map_err(refused)?;
    enter_long_mode(&vcpu).map_err(refused)?;
    let started = Instant::now();
    run(&mut vcpu)?;
    let speed = f64::from(LOOPS) / started.elapsed().as_secs_f64();
    if speed < SLOW {
        return Err(format!("KVM opens but is slow ({:.1} M loops/s)", speed / 1e6));
    }
    Ok(())
}

fn run(vcpu: &mut VcpuFd) -> Result<(), String> {
    match vcpu.run() {
        Ok(VcpuExit::IoOut(_, [MARK])) => Ok(()),
        Ok(other) => Err(format!("KVM opens but fails the probe guest ({other:?})")),
        Err(error) => Err(format!("KVM opens but does not run the probe guest: {error}")),
    }
}

/// Page tables at 0x1000–0x3fff that map the first 2 MiB to themselves, then code.
fn lay_out(memory: &mut [u8; SIZE]) {
    let mut entry = |at: usize, value: u64| {
        memory[at..at + 8].copy_from_slice(&value.to_le_bytes());
    };
    const PRESENT_WRITABLE: u64 = 0b11;
    const LARGE: u64 = 1 << 7;
    entry(0x1000, 0x2000 | PRESENT_WRITABLE);
    entry(0x2000, 0x3000 | PRESENT_WRITABLE);
    entry(0x3000, LARGE | PRESENT_WRITABLE);
    let [a, b, c, d] = LOOPS.to_le_bytes();
    let [e, f, g, h] = (DATA as u32).to_le_bytes();
    let code = [
        0xb9, a, b, c, d, // mov ecx, LOOPS
        0xff, 0xc9, // dec ecx
        0x75, 0xfc, // jnz to the dec
        0xbf, e, f, g, h, // mov edi, DATA
        0x31, 0xc0, 0x31, 0xd2, 0x31, 0xdb, // xor eax, edx, ebx
        0xf0, 0x48, 0x0f, 0xc7, 0x0f, // lock cmpxchg16b [rdi]
        0xb0, MARK, // mov al, MARK
        0xe6, 0x10, // out 0x10, al
        0xf4, // hlt
    ];
    let at = CODE as usize;
    memory[at..at + code.len()].copy_from_slice(&code);
}

fn enter_long_mode(vcpu: &VcpuFd) -> Result<(), kvm_ioctls::Error> {
    let segment = |kind: u8, long: u8| kvm_segment {
        limit: 0xffff_ffff,
        selector: 8,
        type_: kind,
        present: 1,
        s: 1,
        l: long,
        db: 1 - long,
        g: 1,
        ..kvm_segment::default()
    };
    let mut special: kvm_sregs = vcpu.get_sregs()?;
    special.cs = segment(11, 1);
    let data = segment(3, 0);
    (special.ds, special.es, special.ss) = (data, data, data);
    special.cr3 = 0x1000;
    special.cr4 = 1 << 5; // PAE
    special.cr0 = 1 << 31 | 1; // PG, PE
    special.efer = 1 << 10 | 1 << 8; // LMA, LME
    vcpu.set_sregs(&special)?;
    let mut registers = vcpu.get_regs()?;
    registers.rip = CODE;
    registers.rflags = 2;
    vcpu.set_regs(&registers)
}
