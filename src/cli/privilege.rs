//! Which commands need root, and the line to run where it is missing.

use std::ffi::OsString;
use std::path::Path;

use super::{Command, CommandError};

/// Directories that sudo searches on Debian and Ubuntu, whatever the caller's `PATH`.
const SUDO_PATH: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Refuses a command that needs root where there is none.
pub(super) fn check(command: &Command, line: &[OsString]) -> Result<(), CommandError> {
    if !command.needs_root() || nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let program = std::env::current_exe().unwrap_or_else(|_| "windlass".into());
    let home: Vec<&str> = ["WINDLASS_HOME", "WINDLASS_CACHE"]
        .into_iter()
        .filter(|name| std::env::var_os(name).is_some())
        .collect();
    Err(CommandError::NeedsRoot {
        command: command.name().to_owned(),
        line: elevated(line, &program, &home),
    })
}

impl Command {
    /// Whether it does more than read files.
    fn needs_root(&self) -> bool {
        !matches!(
            self,
            Self::Init(_)
                | Self::Config(_)
                | Self::Graph(_)
                | Self::Doctor(_)
                | Self::Schema(_)
                | Self::Completion(_)
                | Self::Version(_)
        )
    }

    /// Its name as typed.
    fn name(&self) -> &'static str {
        match self {
            Self::Init(_) => "init",
            Self::Up(_) => "up",
            Self::Down(_) => "down",
            Self::Plan(_) => "plan",
            Self::Diff(_) => "diff",
            Self::Events(_) => "events",
            Self::Watch(_) => "watch",
            Self::Ps(_) => "ps",
            Self::Logs(_) => "logs",
            Self::Exec(_) => "exec",
            Self::Shell(_) => "shell",
            Self::Start(_) => "start",
            Self::Stop(_) => "stop",
            Self::Restart(_) => "restart",
            Self::Kill(_) => "kill",
            Self::Rm(_) => "rm",
            Self::Ls(_) => "ls",
            Self::Images(_) => "images",
            Self::Image(_) => "image",
            Self::Volumes(_) => "volumes",
            Self::Volume(_) => "volume",
            Self::Df(_) => "df",
            Self::Prune(_) => "prune",
            Self::Config(_) => "config",
            Self::Graph(_) => "graph",
            Self::Doctor(_) => "doctor",
            Self::Supervise => "supervise",
            Self::Autostart(_) => "autostart",
            Self::GitOps(_) => "gitops",
            Self::Schema(_) => "schema",
            Self::Completion(_) => "completion",
            Self::Version(_) => "version",
        }
    }
}

/// The same line under sudo. sudo looks for programs in directories of its own
/// and drops the environment: both are made up for.
fn elevated(line: &[OsString], program: &Path, keep: &[&str]) -> String {
    let written = line.first().map(|word| word.to_string_lossy().into_owned());
    let found_by_sudo = program
        .parent()
        .is_some_and(|directory| SUDO_PATH.iter().any(|searched| Path::new(searched) == directory));
    let name = match written {
        Some(word) if word.contains('/') || found_by_sudo => word,
        _ => program.to_string_lossy().into_owned(),
    };
    let mut words = vec!["sudo".to_owned()];
    if !keep.is_empty() {
        words.push(format!("--preserve-env={}", keep.join(",")));
    }
    words.push(quoted(&name));
    words.extend(line.iter().skip(1).map(|word| quoted(&word.to_string_lossy())));
    words.join(" ")
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn a_program_that_sudo_finds_keeps_its_name() {
        let words = line(&["windlass", "up", "-d"]);
        let text = elevated(&words, Path::new("/usr/local/bin/windlass"), &[]);
        assert_eq!(text, "sudo windlass up -d");
    }

    #[test]
    fn a_program_that_sudo_does_not_find_is_named_in_full() {
        let words = line(&["windlass", "exec", "db", "it's here"]);
        let text = elevated(&words, Path::new("/home/a/.cargo/bin/windlass"), &["WINDLASS_HOME"]);
        assert_eq!(
            text,
            r"sudo --preserve-env=WINDLASS_HOME /home/a/.cargo/bin/windlass exec db 'it'\''s here'"
        );
    }

    #[test]
    fn a_path_stays_as_it_was_written() {
        let words = line(&["./target/release/windlass", "ps"]);
        let text = elevated(&words, Path::new("/src/target/release/windlass"), &[]);
        assert_eq!(text, "sudo ./target/release/windlass ps");
    }
}
