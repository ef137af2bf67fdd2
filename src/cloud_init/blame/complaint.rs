//! One of cloud-init's errors taken apart: it writes them as Python shows them,
//! `('scripts_user', RuntimeError('Runparts: 1 failures (runcmd) in …'))`.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

/// The parts of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    /// The module, as `users_groups`; `None`: it names none.
    pub(super) module: Option<String>,
    /// The whole, with line breaks where they were.
    pub(super) text: String,
}

impl Complaint {
    pub(super) fn read(error: &str) -> Self {
        let module = error.strip_prefix("('").and_then(|rest| {
            let name = rest.split_once("',")?.0.replace('-', "_");
            Some(name.strip_prefix("cc_").unwrap_or(&name).to_owned())
        });
        Self { module, text: error.replace("\\n", "\n") }
    }

    /// What it comes down to, in one line: the last words of a program that
    /// failed, or the exception's own.
    pub(super) fn message(&self) -> Option<String> {
        let whole = self.text.trim_end_matches([')', ',']);
        let whole = whole.strip_suffix(['\'', '"']).unwrap_or(whole);
        if let Some((_, stderr)) = whole.split_once("\nStderr: ") {
            let said = |line: &&str| !line.is_empty() && *line != "-";
            let code = || whole.lines().find(|line| line.starts_with("Exit code: "));
            return stderr.lines().rfind(said).or_else(code).map(str::to_owned);
        }
        let (_, exception) = whole.split_once(", ")?;
        let quote = exception.find(['\'', '"'])?;
        let line = exception[quote + 1..].lines().next()?.trim();
        (!line.is_empty()).then(|| line.to_owned())
    }

    /// The scripts that failed: `runcmd`, `part-001`.
    pub(super) fn scripts(&self) -> Vec<&str> {
        let names = self.text.split_once("Runparts: ").and_then(|(_, rest)| {
            let (_, inside) = rest.split_once('(')?;
            inside.split_once(')').map(|(names, _)| names)
        });
        names.into_iter().flat_map(|names| names.split(',')).map(str::trim).collect()
    }
}

/// Whether `text` has `word` as a word of its own.
pub(super) fn mentions(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || "-_+.".contains(c);
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let mut after = text[at + word.len()..].chars();
        // A full stop that ends a sentence is no part of the word.
        let ends = match after.next() {
            Some('.') => !after.next().is_some_and(part),
            next => !next.is_some_and(part),
        };
        ends && !before.is_some_and(part)
    })
}

#[cfg(test)]
mod tests {
    use super::{Complaint, mentions};

    #[test]
    fn words_are_not_found_within_others() {
        assert!(mentions("E: Unable to locate package nginx", "nginx"));
        assert!(mentions("cannot use 'nginx'.", "nginx"));
        assert!(!mentions("E: Unable to locate package nginx-full", "nginx"));
        assert!(!mentions("libnginx", "nginx"));
    }

    #[test]
    fn an_exception_says_what_it_comes_down_to() {
        let read = Complaint::read;
        let zone = read("('timezone', OSError('Invalid timezone Mars/Base, no file found'))");
        assert_eq!(zone.module.as_deref(), Some("timezone"));
        assert_eq!(zone.message().as_deref(), Some("Invalid timezone Mars/Base, no file found"));
        let program = read(
            r#"('cc_users_groups', ProcessExecutionError("Unexpected error while running command.\nCommand: ['useradd', 'bob']\nExit code: 3\nReason: -\nStdout: -\nStderr: useradd: invalid shell '/x'"))"#,
        );
        assert_eq!(program.module.as_deref(), Some("users_groups"));
        assert_eq!(program.message().as_deref(), Some("useradd: invalid shell '/x'"));
        let silent = read(
            r#"('bootcmd', ProcessExecutionError("Unexpected…\nExit code: 1\nReason: -\nStdout: -\nStderr: -"))"#,
        );
        assert_eq!(silent.message().as_deref(), Some("Exit code: 1"));
        assert_eq!(read("cannot mount the disk for /x").module, None);
    }
}
