//! The rim to systemd: writes and removes units, has systemd notice. It knows
//! nothing of stacks.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::state::StateError;

/// Where an administrator's units lie.
const UNITS: &str = "/etc/systemd/system";

/// There exactly where systemd is the host's first process (`sd_booted`).
const BOOTED: &str = "/run/systemd/system";

/// Why systemd has not done as asked.
#[derive(Debug, thiserror::Error)]
pub enum SystemdError {
    /// A unit could not be written or removed.
    #[error(transparent)]
    State(#[from] StateError),
    /// There is no `systemctl`.
    #[error("cannot run `systemctl`")]
    NotRun(#[source] io::Error),
    /// It said no.
    #[error("`systemctl {command}` failed: {said}")]
    Failed {
        /// What it was asked.
        command: String,
        /// Its own words.
        said: String,
    },
}

/// systemd, or only the directory where it would look.
#[derive(Debug)]
pub struct Systemd {
    directory: PathBuf,
    runs: bool,
}

/// What is known of a unit.
#[derive(Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether its file is there.
    pub written: bool,
    /// Whether it is started at boot, and whether its stop is carried out at
    /// shutdown, as systemd has it; `None`: no systemd runs.
    pub known: Option<(String, String)>,
}

impl Systemd {
    /// The host's. `elsewhere`: units go there, and no systemd is spoken to.
    pub fn new(elsewhere: Option<&Path>) -> Self {
        let runs = elsewhere.is_none() && Path::new(BOOTED).is_dir();
        Self { directory: elsewhere.unwrap_or(Path::new(UNITS)).to_owned(), runs }
    }

    /// Whether it is the host's first process.
    pub fn runs(&self) -> bool {
        self.runs
    }

    /// Where a unit's file lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Has the unit there, enabled and started; whether its text was news.
    pub fn install(&self, name: &str, text: &str) -> Result<bool, SystemdError> {
        // Only one that is started is asked to stop when the host goes down.
        self.install_and(name, text, "start")
    }

    /// Has the unit there, enabled and started anew, also where it runs already.
    pub fn install_anew(&self, name: &str, text: &str) -> Result<bool, SystemdError> {
        self.install_and(name, text, "restart")
    }

    fn install_and(&self, name: &str, text: &str, job: &str) -> Result<bool, SystemdError> {
        let path = self.path(name);
        let news = fs::read_to_string(&path).ok().as_deref() != Some(text);
        if news {
            fs::create_dir_all(&self.directory)
                .map_err(StateError::io("create", &self.directory))?;
            fs::write(&path, text).map_err(StateError::io("write", &path))?;
        }
        if self.runs {
            if news {
                ask(&["daemon-reload"])?;
            }
            ask(&["enable", name])?;
            ask(&[job, name])?;
        }
        Ok(news)
    }

    /// Whether units only go elsewhere, and no systemd is spoken to.
    pub fn is_elsewhere(&self) -> bool {
        self.directory != Path::new(UNITS)
    }

    /// Takes the unit away and stops what it started; whether there was one.
    pub fn remove_and_stop(&self, name: &str) -> Result<bool, SystemdError> {
        if self.runs && self.path(name).exists() {
            ask(&["stop", name])?;
        }
        self.remove(name)
    }

    /// Takes the unit away without stopping anything; whether there was one.
    pub fn remove(&self, name: &str) -> Result<bool, SystemdError> {
        let path = self.path(name);
        if !path.exists() {
            return Ok(false);
        }
        if self.runs {
            ask(&["disable", name])?;
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StateError::io("remove", &path)(error).into());
            }
            _ => {}
        }
        if self.runs {
            ask(&["daemon-reload"])?;
        }
        Ok(true)
    }

    /// How the unit stands.
    pub fn standing(&self, name: &str) -> Result<Standing, SystemdError> {
        let known = if self.runs {
            Some((word(&["is-enabled", name])?, word(&["is-active", name])?))
        } else {
            None
        };
        Ok(Standing { written: self.path(name).exists(), known })
    }
}

/// Has `systemctl` do something.
fn ask(arguments: &[&str]) -> Result<(), SystemdError> {
    let output = Command::new("systemctl")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(SystemdError::NotRun)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(SystemdError::Failed { command: arguments.join(" "), said })
}

/// The one word that `systemctl` answers, whatever its exit code makes of it.
fn word(arguments: &[&str]) -> Result<String, SystemdError> {
    let output = Command::new("systemctl")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(SystemdError::NotRun)?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(if said.is_empty() { "unknown".to_owned() } else { said })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_written_once_replaced_when_it_differs_and_removed_once() {
        let directory = tempfile::tempdir().unwrap();
        let systemd = Systemd::new(Some(&directory.path().join("system")));
        assert!(!systemd.standing("a.service").unwrap().written);
        assert!(systemd.install("a.service", "one").unwrap());
        assert!(!systemd.install("a.service", "one").unwrap());
        assert!(systemd.install("a.service", "two").unwrap());
        assert_eq!(fs::read_to_string(systemd.path("a.service")).unwrap(), "two");
        assert!(systemd.standing("a.service").unwrap().written);
        assert!(systemd.remove("a.service").unwrap());
        assert!(!systemd.remove("a.service").unwrap());
    }
}
