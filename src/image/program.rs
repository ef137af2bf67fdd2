//! Runs the programs that make images. They die with us and leave nothing that
//! they were not told to make; their log is kept for the case that they fail.

use std::io::{self, BufRead, BufReader};
use std::process::{Command, Stdio};

use super::ImageError;

/// How many lines of a log are kept.
const KEPT: usize = 60;

/// A program and the package that brings it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Program {
    /// Its name.
    pub(super) name: &'static str,
    /// The Debian package.
    pub(super) package: &'static str,
}

pub(super) const MMDEBSTRAP: Program = Program { name: "mmdebstrap", package: "mmdebstrap" };
pub(super) const MKE2FS: Program = Program { name: "mke2fs", package: "e2fsprogs" };
pub(super) const QEMU_IMG: Program = Program { name: "qemu-img", package: "qemu-utils" };
pub(super) const CP: Program = Program { name: "cp", package: "coreutils" };

impl Program {
    /// Runs it to its end and gives what it wrote to stdout.
    pub(super) fn output(self, arguments: &[&str]) -> Result<Vec<u8>, ImageError> {
        let output = Command::new(self.name)
            .args(arguments)
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| self.not_started(error))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(self.failed(&said.lines().map(str::to_owned).collect::<Vec<_>>()))
    }

    /// Runs it to its end under `setpriv`, which ends it with the calling
    /// thread; each line it writes to stderr goes to `line`.
    pub(super) fn narrated(
        self,
        arguments: &[String],
        mut line: impl FnMut(&str),
    ) -> Result<(), ImageError> {
        if !is_on_path(self.name) {
            return Err(self.missing());
        }
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--", self.name])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| self.not_started(error))?;
        let mut log = Vec::new();
        for said in child.stderr.take().into_iter().flat_map(|log| BufReader::new(log).split(b'\n'))
        {
            let Ok(said) = said else { break };
            let said = String::from_utf8_lossy(&said).trim_end().to_owned();
            line(&said);
            if log.len() == KEPT {
                log.remove(0);
            }
            log.push(said);
        }
        let status = child.wait().map_err(|error| self.not_started(error))?;
        if status.success() { Ok(()) } else { Err(self.failed(&log)) }
    }

    fn missing(self) -> ImageError {
        ImageError::ProgramMissing { program: self.name, package: self.package }
    }

    fn not_started(self, error: io::Error) -> ImageError {
        match error.kind() {
            io::ErrorKind::NotFound => self.missing(),
            _ => ImageError::io("run", self.name.as_ref())(error),
        }
    }

    /// apt and dpkg mark what went wrong; without a mark the end says it.
    fn failed(self, log: &[String]) -> ImageError {
        let marked: Vec<&str> =
            log.iter().map(String::as_str).filter(|line| line.starts_with("E: ")).take(3).collect();
        let said = if marked.is_empty() {
            let last = log.len().saturating_sub(3);
            log[last..].join("; ")
        } else {
            marked.join("; ")
        };
        if log.iter().any(|line| line.contains("No space left on device")) {
            let full = io::Error::from(io::ErrorKind::StorageFull);
            return ImageError::io("build in", self.name.as_ref())(full);
        }
        ImageError::Program { program: self.name, said }
    }
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}
