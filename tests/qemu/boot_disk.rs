//! A disk that boots by its own boot loader, as distributions publish them:
//! partition table, GRUB in the master boot record, Debian on the first partition.
//! Made from a base that is here, without mounting anything.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;

use windlass::image::DiskImage;

/// Where the first partition begins, as everybody has it.
const FIRST: u64 = 1 << 20;
const SECTOR: u64 = 512;

/// Where Debian's `grub-pc-bin` has GRUB for BIOS machines.
const GRUB: &str = "/usr/lib/grub/i386-pc";

/// What GRUB does: no menu, the kernel by the link that Debian keeps.
const START: &str = "set root=(hd0,msdos1)
linux /vmlinuz root=/dev/vda1 rw console=ttyS0
initrd /initrd.img
boot
";

/// Whether it can be made here; says so where it cannot.
pub(crate) fn possible() -> bool {
    let possible = Path::new(GRUB).join("boot.img").exists();
    let required = std::env::var("REQUIRE_ENGINES").unwrap_or_default();
    assert!(possible || !required.contains("qemu"), "grub-pc-bin is required");
    if !possible {
        eprintln!("skipped: needs grub-pc-bin");
    }
    possible
}

/// Makes it at `disk`, in `work`.
pub(crate) fn make(base: &DiskImage, work: &Path, disk: &Path) {
    let raw = work.join("disk.raw");
    let size = base.virtual_size;
    let mut file = OpenOptions::new().write(true).create_new(true).open(&raw).expect("a file");
    file.set_len(FIRST + size).expect("room");
    let place =
        format!("driver=raw,offset={FIRST},file.driver=file,file.filename={}", raw.display());
    run(Command::new("qemu-img")
        .args(["convert", "-n", "-f", base.format.as_str()])
        .arg(&base.path)
        .args(["--target-image-opts", &place]));

    let mut record = fs::read(Path::new(GRUB).join("boot.img")).expect("GRUB");
    record.resize(usize::try_from(SECTOR).expect("small"), 0);
    record[446..462].copy_from_slice(&partition(size));
    record[462..510].fill(0);
    record[510..].copy_from_slice(&[0x55, 0xaa]);
    file.write_all(&record).expect("the boot record");
    file.seek(SeekFrom::Start(SECTOR)).expect("the gap");
    file.write_all(&core(work)).expect("the loader");
    drop(file);
    run(Command::new("qemu-img").args(["convert", "-O", "qcow2"]).arg(&raw).arg(disk));
    fs::remove_file(&raw).expect("removed");
}

/// The entry of a bootable Linux partition, by sectors alone.
fn partition(size: u64) -> [u8; 16] {
    let sectors = |bytes: u64| u32::try_from(bytes / SECTOR).expect("small").to_le_bytes();
    let mut entry = [0; 16];
    entry[0] = 0x80;
    entry[1..4].fill(0xff);
    entry[4] = 0x83;
    entry[5..8].fill(0xff);
    entry[8..12].copy_from_slice(&sectors(FIRST));
    entry[12..].copy_from_slice(&sectors(size));
    entry
}

/// What boots on from the second sector.
fn core(work: &Path) -> Vec<u8> {
    let (config, image) = (work.join("start.cfg"), work.join("core.img"));
    fs::write(&config, START).expect("a configuration");
    run(Command::new("grub-mkimage")
        .args(["-O", "i386-pc", "-p", "/boot/grub", "-o"])
        .arg(&image)
        .arg("-c")
        .arg(&config)
        .args(["biosdisk", "part_msdos", "ext2", "linux"]));
    let core = fs::read(image).expect("made");
    assert!(core.len() as u64 + SECTOR <= FIRST, "it fits before the partition");
    core
}

fn run(command: &mut Command) {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
