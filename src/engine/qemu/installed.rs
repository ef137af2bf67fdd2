//! Which QEMU this host has, found by asking it once: the answers are kept in
//! the cache until the program changes.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::error::QemuError;
use crate::state::{Directories, StateError, atomic, names};

const PROGRAM: &str = "qemu-system-x86_64";
const IMAGE_PROGRAM: &str = "qemu-img";

/// Version of the cached answers' form.
const VERSION: u32 = 1;

/// What is known of the installed QEMU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::unsafe_derive_deserialize, reason = "the unsafe block is tokio's `try_join!`")]
pub(super) struct Installed {
    version: u32,
    /// The program.
    pub(super) program: PathBuf,
    /// Major and minor number of its release.
    pub(super) release: (u32, u32),
    /// The newest versioned machine type of the kind we use.
    pub(super) machine: String,
}

/// A program that is needed and not there.
pub(super) fn missing() -> Option<&'static str> {
    [PROGRAM, IMAGE_PROGRAM].into_iter().find(|program| on_path(program).is_none())
}

impl Installed {
    /// Asks the QEMU on `PATH`.
    pub(super) async fn find(directories: &Directories) -> Result<Self, QemuError> {
        if let Some(program) = missing() {
            return Err(QemuError::NotInstalled { program });
        }
        let program = on_path(PROGRAM).ok_or(QemuError::NotInstalled { program: PROGRAM })?;
        let meta = program.metadata().map_err(StateError::io("read", &program))?;
        let key = names::hash(
            &[&program.to_string_lossy(), &meta.mtime().to_string(), &meta.size().to_string()],
            16,
        );
        let cached = directories.cache.join(format!("qemu-{key}.json"));
        if let Ok(Some(known)) = atomic::read_versioned(&cached, VERSION) {
            return Ok(known);
        }
        let (release, machines) =
            tokio::try_join!(say(&program, &["--version"]), say(&program, &["-machine", "help"]))?;
        let unclear = |said: &str| QemuError::Program {
            program: PROGRAM.to_owned(),
            said: format!("its answer is not understood: {said}"),
        };
        let found = Self {
            version: VERSION,
            release: release_of(&release).ok_or_else(|| unclear(&release))?,
            machine: newest_q35(&machines).ok_or_else(|| unclear(&machines))?,
            program,
        };
        // A cache that cannot be written is asked for again.
        drop(atomic::write_cache(&cached, &found));
        Ok(found)
    }

    /// Whether it spells the change of user `-run-with user=`.
    pub(super) fn run_with(&self) -> bool {
        self.release >= (9, 1)
    }
}

/// The first executable of this name on `PATH`.
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|program| {
        program.metadata().is_ok_and(|meta| meta.is_file() && meta.mode() & 0o111 != 0)
    })
}

async fn say(program: &Path, arguments: &[&str]) -> Result<String, QemuError> {
    let output = Command::new(program)
        .args(arguments)
        .kill_on_drop(true)
        .output()
        .await
        .map_err(StateError::io("start", program))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(QemuError::Program { program: PROGRAM.to_owned(), said });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn release_of(text: &str) -> Option<(u32, u32)> {
    let number = text.split_once("version ")?.1;
    let mut parts = number.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn newest_q35(help: &str) -> Option<String> {
    let version = |name: &str| -> Option<Vec<u32>> {
        let digits = name.strip_prefix("pc-q35-")?;
        digits.split('.').map(|part| part.parse().ok()).collect()
    };
    help.lines()
        .filter_map(|line| line.split_ascii_whitespace().next())
        .filter_map(|name| Some((version(name)?, name)))
        .max()
        .map(|(_, name)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{newest_q35, release_of};

    #[test]
    fn the_newest_versioned_machine_is_found() {
        let help = "Supported machines are:\nmicrovm  microvm (i386)\n\
                    pc-q35-9.2  Standard PC\nq35  Standard PC (alias of pc-q35-10.0)\n\
                    pc-q35-10.0 Standard PC\npc-q35-4.0.1 Standard PC (deprecated)\n";
        assert_eq!(newest_q35(help).as_deref(), Some("pc-q35-10.0"));
        assert_eq!(newest_q35("none  empty machine"), None);
    }

    #[test]
    fn releases_are_read() {
        let debian = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright";
        assert_eq!(release_of(debian), Some((10, 0)));
        assert_eq!(release_of("QEMU emulator version 7.2.11"), Some((7, 2)));
        assert_eq!(release_of("something else"), None);
    }
}
