//! VM images by name: where a distribution publishes them, and how they start.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use crate::stack::Recipe;

/// A published image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// What the stack file says.
    pub(super) name: &'static str,
    /// The disk, qcow2.
    pub(super) url: &'static str,
    /// The list that has its checksum.
    pub(super) checksums: &'static str,
    /// The algorithm of that list.
    pub(super) algorithm: &'static str,
    /// cloud-init's default user in it.
    pub(super) user: &'static str,
    /// The suite that makes the same system from a mirror.
    suite: &'static str,
}

const ENTRIES: [Entry; 2] = [
    Entry {
        name: "debian:12",
        url: "https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2",
        checksums: "https://cloud.debian.org/images/cloud/bookworm/latest/SHA512SUMS",
        algorithm: "sha512",
        user: "debian",
        suite: "bookworm",
    },
    Entry {
        name: "debian:13",
        url: "https://cloud.debian.org/images/cloud/trixie/latest/debian-13-genericcloud-amd64.qcow2",
        checksums: "https://cloud.debian.org/images/cloud/trixie/latest/SHA512SUMS",
        algorithm: "sha512",
        user: "debian",
        suite: "trixie",
    },
];

impl Entry {
    /// The recipe that makes the same system from a mirror.
    pub(super) fn recipe(&self) -> Recipe {
        Recipe {
            suite: self.suite.to_owned(),
            mirror: None,
            packages: Vec::new(),
            components: Vec::new(),
        }
    }

    /// The digest that a checksum list has for this image.
    pub(super) fn digest_in(&self, list: &str) -> Option<String> {
        let file = self.url.rsplit('/').next()?;
        list.lines().find_map(|line| {
            let (hex, name) = line.split_once(char::is_whitespace)?;
            let name = name.trim_start_matches([' ', '*']);
            (name == file).then(|| format!("{}:{}", self.algorithm, hex.to_ascii_lowercase()))
        })
    }

    /// The host that it is published on.
    pub(super) fn host(&self) -> &'static str {
        self.url.split('/').nth(2).unwrap_or(self.url)
    }
}

/// All names, in order.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ENTRIES.iter().map(|entry| entry.name)
}

/// The image called `name`.
pub(super) fn find(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name == name)
}

/// The candidate that `text` was probably meant to be.
pub(super) fn nearest<'a>(
    text: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let text = text.to_lowercase();
    candidates
        .map(|candidate| (distance(&text, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len() / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be put in, taken out or changed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_found_in_either_form_of_list() {
        let entry = find("debian:12").unwrap();
        let file = "debian-12-genericcloud-amd64.qcow2";
        let list = format!("00  other.qcow2\nAB  {file}.txt\nAbC *{file}\n");
        assert_eq!(entry.digest_in(&list).as_deref(), Some("sha512:abc"));
        assert_eq!(entry.digest_in("00  other.qcow2\n"), None);
        assert_eq!(entry.host(), "cloud.debian.org");
    }

    #[test]
    fn a_mistyped_name_is_recognised_and_a_strange_one_is_not() {
        assert_eq!(nearest("debain:12", names()), Some("debian:12"));
        assert_eq!(nearest("Debian12", names()), Some("debian:12"));
        assert_eq!(nearest("windows", names()), None);
    }
}
