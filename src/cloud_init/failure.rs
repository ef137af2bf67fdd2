//! What a guest said of a cloud-init that failed: its errors and the log that
//! explains them. Where the cause lies in the user's files is [`super::blame`]'s
//! to find.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::fmt;

/// Lines of the log that are shown where nothing better is known.
const SHOWN: usize = 20;

/// A line of cloud-init's that each of its runs writes first in a boot.
const BOOT: &str = "running 'init-local'";

/// cloud-init failed in a guest that came up. Its first line says so; those
/// after it are the guest's own words.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Failure {
    /// What failed: cloud-init's words, then those of our own part.
    pub errors: Vec<String>,
    /// The last lines of cloud-init's log.
    pub log: String,
    /// Whether the VM was ever ready, in an earlier run.
    pub ever_ready: bool,
}

impl Failure {
    /// The log of the boot that failed: what an earlier one said is not its cause.
    pub fn log_of_this_boot(&self) -> &str {
        self.log.rsplit_once(BOOT).map_or(&self.log, |(_, after)| after)
    }

    /// The errors and the log's last lines, as they are shown.
    pub fn words(&self) -> Vec<String> {
        let log: Vec<&str> = self.log_of_this_boot().lines().collect();
        let last = &log[log.len().saturating_sub(SHOWN)..];
        let said = self.errors.iter().map(String::as_str).chain(last.iter().copied());
        said.map(without_escapes).filter(|line| !line.trim().is_empty()).collect()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errors.len() {
            1 => f.write_str("cloud-init reported an error")?,
            several => write!(f, "cloud-init reported {several} errors")?,
        }
        self.words().iter().try_for_each(|line| write!(f, "\n{line}"))
    }
}

impl std::error::Error for Failure {}

/// A guest's line without what would move a terminal's cursor.
pub(crate) fn without_escapes(line: &str) -> String {
    let mut plain = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // `ESC [ … letter`; anything else is one character long.
            if chars.next() == Some('[') {
                chars.by_ref().find(char::is_ascii_alphabetic);
            }
        } else if !c.is_control() || c == '\t' {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::{Failure, without_escapes};

    #[test]
    fn a_console_cannot_move_the_cursor() {
        assert_eq!(without_escapes("\u{1b}[0;1;31mFAILED\u{1b}[0m x\r"), "FAILED x");
        assert_eq!(without_escapes("a\u{1b}cb\u{7}\u{1b}"), "ab");
    }

    #[test]
    fn an_earlier_boot_is_not_quoted() {
        let failure = Failure {
            errors: vec!["('runcmd', 1)".to_owned()],
            log: "E: old\nCloud-init v. 22.4.2 running 'init-local' at …\nE: new\n".to_owned(),
            ever_ready: true,
        };
        let text = failure.to_string();
        assert!(text.starts_with("cloud-init reported an error\n('runcmd', 1)\n"), "{text}");
        assert!(text.ends_with("\nE: new") && !text.contains("old"), "{text}");
    }
}
