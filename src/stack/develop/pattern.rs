//! Patterns of `ignore` and `include`, as a `.dockerignore` has them: relative
//! to the rule's path, a directory stands for all below it, `!` takes back, the
//! last that fits decides.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};

/// What editors and version control leave beside the files one means.
const NEVER: &[&str] = &[
    "**/.git",
    "**/.#*",
    "**/#*#",
    "**/*~",
    "**/.*.sw?",
    "**/.*.kate-swp",
    "**/4913",
    "**/.idea",
    "**/*___jb_tmp___",
    "**/*___jb_old___",
];

/// One pattern.
#[derive(Debug, Clone)]
pub struct Pattern {
    matcher: GlobMatcher,
    takes_back: bool,
}

impl Pattern {
    /// From the text in the file.
    pub fn new(text: &str) -> Result<Self, globset::Error> {
        let text = text.trim();
        let (takes_back, text) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
        let text = text.trim_start_matches("./").trim_start_matches('/').trim_end_matches('/');
        // Braces are no alternatives there.
        let text = text.replace('{', "[{]").replace('}', "[}]");
        let glob = GlobBuilder::new(&text).literal_separator(true).build()?;
        Ok(Self { matcher: glob.compile_matcher(), takes_back })
    }

    /// Whether it means this path, or a directory above it.
    fn fits(&self, path: &Path) -> bool {
        path.ancestors()
            .take_while(|part| !part.as_os_str().is_empty())
            .any(|part| self.matcher.is_match(part))
    }
}

/// Which files below a rule's path count.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    ignore: Vec<Pattern>,
    include: Vec<Pattern>,
}

impl Filter {
    /// From what the rule says. What is no pattern was an error before.
    pub fn new(ignore: &[String], include: &[String]) -> Self {
        let patterns = |texts: &[String]| -> Vec<Pattern> {
            texts.iter().filter_map(|text| Pattern::new(text).ok()).collect()
        };
        let never = NEVER.iter().filter_map(|text| Pattern::new(text).ok());
        let ignore = never.chain(patterns(ignore)).collect();
        Self { ignore, include: patterns(include) }
    }

    /// Whether a change of this file counts; the path is relative to the rule's.
    pub fn counts(&self, path: &Path) -> bool {
        !is_meant(&self.ignore, path) && (self.include.is_empty() || is_meant(&self.include, path))
    }

    /// Whether nothing below this directory can count.
    pub fn is_closed(&self, directory: &Path) -> bool {
        is_meant(&self.ignore, directory) && !self.ignore.iter().any(|pattern| pattern.takes_back)
    }
}

/// The last pattern that fits decides.
fn is_meant(patterns: &[Pattern], path: &Path) -> bool {
    let last = patterns.iter().rev().find(|pattern| pattern.fits(path));
    last.is_some_and(|pattern| !pattern.takes_back)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(ignore: &[&str], include: &[&str], path: &str) -> bool {
        let owned = |texts: &[&str]| -> Vec<String> {
            texts.iter().map(|text| (*text).to_owned()).collect()
        };
        Filter::new(&owned(ignore), &owned(include)).counts(Path::new(path))
    }

    #[test]
    fn a_directory_stands_for_all_below_it_and_is_anchored() {
        assert!(!counts(&["node_modules/"], &[], "node_modules/a/b.js"));
        assert!(counts(&["node_modules/"], &[], "web/node_modules/a.js"));
        assert!(!counts(&["**/node_modules"], &[], "web/node_modules/a.js"));
        assert!(!counts(&["./build", "/dist"], &[], "dist/a"));
    }

    #[test]
    fn a_star_stays_within_its_directory() {
        assert!(!counts(&["*.log"], &[], "a.log"));
        assert!(counts(&["*.log"], &[], "logs/a.log"));
        assert!(!counts(&["**/*.log"], &[], "logs/deep/a.log"));
    }

    #[test]
    fn the_last_that_fits_decides() {
        assert!(counts(&["docs", "!docs/keep.md"], &[], "docs/keep.md"));
        assert!(!counts(&["docs", "!docs/keep.md"], &[], "docs/other.md"));
        assert!(!counts(&["!docs/keep.md", "docs"], &[], "docs/keep.md"));
    }

    #[test]
    fn only_what_is_included_counts_and_ignore_goes_first() {
        assert!(counts(&[], &["**/*.rs"], "src/a.rs"));
        assert!(!counts(&[], &["**/*.rs"], "src/a.md"));
        assert!(!counts(&["src"], &["**/*.rs"], "src/a.rs"));
    }

    #[test]
    fn what_editors_leave_never_counts() {
        for path in ["a/.git/index", ".main.rs.swp", "a/4913", "main.rs~", ".#lock", ".idea/x"] {
            assert!(!counts(&[], &[], path), "{path}");
        }
        assert!(counts(&[], &[], "main.rs"));
        assert!(counts(&[], &[], ".gitignore"));
    }

    #[test]
    fn braces_are_letters() {
        assert!(!counts(&["{a,b}"], &[], "{a,b}"));
        assert!(counts(&["{a,b}"], &[], "a"));
    }
}
