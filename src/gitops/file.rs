//! The file that `gitops run` and `gitops install` take: which repository, which
//! of it, how often, and what may happen without anybody being asked. Every
//! error is said at once, each at its place. It knows no disk.
//!
//! | key | meaning | default |
//! |---|---|---|
//! | `repo` | an `https` or `ssh` address, `git@host:path`, or a local path | |
//! | `ref` | a branch, a tag or a full commit | the repository's own HEAD |
//! | `path` | the stack file in the repository | found as `up` finds it, at its root |
//! | `name` | the stack's name | the repository's |
//! | `env_file` | variables, on this host; they count for more than the repository's `.env` | |
//! | `profiles` | profiles that are on | |
//! | `interval` | from one fetch to the next, `1s` at least | `1m` |
//! | `deploy_key` | a private ssh key that its owner alone can read | ssh's own |
//! | `known_hosts` | keys of hosts, as ssh writes them | ssh's own |
//! | `policy.prune` | remove what is no longer in the stack file | `true` |
//! | `policy.max_removals` | how much of what exists may go without `approve`, in percent | `50%` |
//! | `policy.health_deadline` | how long everything may take to be healthy | `5m` |
//! | `policy.rollback` | go back to the last good revision when it is not | `true` |
//! | `policy.drift` | where the stack file does not say: `off`, `detect`, `correct` | `correct` |
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::source;
use crate::diagnostic::{Diagnostic, Diagnostics, Sources, Span};
use crate::spec::{self, Failed, Form, Object, key};
use crate::stack::{Drift, StackName};
use crate::yaml::{self, Node};

static FILE: Object = Object {
    keys: &[
        key("repo", Form::Text),
        key("ref", Form::Scalar),
        key("path", Form::Text),
        key("name", Form::Scalar),
        key("env_file", Form::Text),
        key("profiles", Form::List(&Form::Scalar)),
        key("interval", Form::Duration),
        key("deploy_key", Form::Text),
        key("known_hosts", Form::Text),
        key("policy", Form::Object(&POLICY)),
    ],
    required: &["repo"],
};

static POLICY: Object = Object {
    keys: &[
        key("prune", Form::Bool),
        key("max_removals", Form::Scalar),
        key("health_deadline", Form::Duration),
        key("rollback", Form::Bool),
        key("drift", Form::Words(&["off", "detect", "correct"])),
    ],
    required: &[],
};

/// The shortest time from one fetch to the next.
const SHORTEST: Duration = Duration::from_secs(1);

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The stack's name; it counts for more than the stack file's own.
    pub name: StackName,
    /// The repository, as git takes it; a local path is absolute.
    pub repo: String,
    /// A branch, a tag or a commit; `None`: the repository's HEAD.
    pub reference: Option<String>,
    /// The stack file within the repository; `None`: it is looked for.
    pub path: Option<PathBuf>,
    /// Variables of this host; absolute.
    pub env_file: Option<PathBuf>,
    /// Profiles that are on.
    pub profiles: Vec<String>,
    /// From one fetch to the next.
    pub interval: Duration,
    /// A private ssh key; absolute.
    pub deploy_key: Option<PathBuf>,
    /// Keys of hosts; absolute.
    pub known_hosts: Option<PathBuf>,
    /// What may happen without anybody being asked.
    pub policy: Policy,
}

/// What may happen without anybody being asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Remove what is no longer in the stack file.
    pub prune: bool,
    /// How much of what exists may go unasked, in percent.
    pub max_removals: u8,
    /// How long everything may take to be healthy.
    pub health_deadline: Duration,
    /// Go back to the last good revision when it is not.
    pub rollback: bool,
    /// What is done about drift where the stack file does not say.
    pub drift: Drift,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            prune: true,
            max_removals: 50,
            health_deadline: Duration::from_mins(5),
            rollback: true,
            drift: Drift::Correct,
        }
    }
}

/// Reads the text of `file`, which is absolute.
pub fn parse(file: &Path, text: &str) -> Result<Settings, Failed> {
    let base = file.parent().unwrap_or(Path::new("/"));
    let (mut sources, mut found) = (Sources::new(base), Diagnostics::new());
    let id = sources.add(file, text);
    let mut documents = yaml::parse(id, text, &mut found);
    let settings = match documents.len() {
        0 if found.is_empty() => {
            let title = "the gitops file is empty";
            let help = "it needs at least a `repo`";
            found.push(Diagnostic::error(title).at(Span::start_of(id)).help(help));
            None
        }
        0 => None,
        1 => {
            let document = &mut documents[0];
            spec::check_as(document, &FILE, "gitops file", "start with `repo:`", &mut found);
            Reader { document, base, found: &mut found }.settings()
        }
        _ => {
            let title = "a gitops file is one document";
            found.push(Diagnostic::error(title).at(documents[1].span));
            None
        }
    };
    match settings {
        Some(settings) if !found.has_errors() => Ok(settings),
        _ => Err(Failed { diagnostics: found.tidy(), sources }),
    }
}

/// The schema for editors; `schemas/gitops.schema.json` is this text.
pub fn json_schema() -> String {
    let description = "Which git repository a stack follows, and what may happen unasked.";
    spec::schema_of("Windlass gitops file", description, &FILE)
}

struct Reader<'a> {
    document: &'a Node,
    base: &'a Path,
    found: &'a mut Diagnostics,
}

impl Reader<'_> {
    fn settings(&mut self) -> Option<Settings> {
        let repo = self.repo();
        let name = self.name(repo.as_deref());
        let reference = self.reference();
        let (path, interval, policy) = (self.path_in_repository(), self.interval(), self.policy());
        let profiles = self.document.get("profiles").and_then(Node::as_sequence);
        let profiles = profiles.into_iter().flatten().filter_map(Node::as_text);
        Some(Settings {
            name: name?,
            repo: repo?,
            reference,
            path,
            env_file: self.host_path("env_file"),
            profiles: profiles.map(str::to_owned).collect(),
            interval,
            deploy_key: self.host_path("deploy_key"),
            known_hosts: self.host_path("known_hosts"),
            policy,
        })
    }

    fn text(&self, key: &str) -> Option<(String, Span)> {
        let node = self.document.get(key)?;
        Some((node.as_text()?.to_owned(), node.span))
    }

    fn error(&mut self, span: Span, title: impl Into<String>, help: &str) {
        self.found.push(Diagnostic::error(title).at(span).help(help));
    }

    fn repo(&mut self) -> Option<String> {
        let (written, span) = self.text("repo")?;
        match source::repository(&written, self.base) {
            Ok(repo) => Some(repo),
            Err(source::Wrong { title, help }) => {
                self.error(span, title, help);
                None
            }
        }
    }

    fn name(&mut self, repo: Option<&str>) -> Option<StackName> {
        let help = "names have lower-case letters, digits, `-` and `_`, and begin with a letter \
                    or digit";
        if let Some((written, span)) = self.text("name") {
            let name = StackName::new(&written);
            if name.is_none() {
                self.error(span, format!("`{written}` is not a name for a stack"), help);
            }
            return name;
        }
        let repo = repo?;
        let name = source::name(repo);
        if name.is_none() {
            let span = self.document.get("repo").map_or(self.document.span, |node| node.span);
            self.error(
                span,
                format!("`{repo}` has no name for a stack in it"),
                "give it a `name:`",
            );
        }
        name
    }

    fn reference(&mut self) -> Option<String> {
        let (written, span) = self.text("ref")?;
        if !source::is_reference(&written) {
            let title = format!("`{written}` is not the name of a branch, a tag or a commit");
            self.error(span, title, "write it as `git branch` or `git tag` shows it");
            return None;
        }
        Some(written)
    }

    fn path_in_repository(&mut self) -> Option<PathBuf> {
        let (written, span) = self.text("path")?;
        let path = Path::new(&written);
        let leaves = path.is_absolute()
            || path.components().any(|part| part == std::path::Component::ParentDir);
        if leaves {
            let title = format!("`{written}` leads out of the repository");
            self.error(span, title, "write it relative to the repository's root, without `..`");
            return None;
        }
        Some(path.to_owned())
    }

    /// A file of this host, relative to the file it is named in.
    fn host_path(&self, key: &str) -> Option<PathBuf> {
        let (written, _) = self.text(key)?;
        Some(spec::path::clean(&self.base.join(written)))
    }

    fn interval(&mut self) -> Duration {
        let usual = Duration::from_mins(1);
        let Some((written, span)) = self.text("interval") else { return usual };
        let interval = spec::duration(&written).unwrap_or(usual);
        if interval < SHORTEST {
            self.error(span, "`interval` is less than `1s`", "`1m` is the default");
        }
        interval
    }

    fn policy(&mut self) -> Policy {
        let usual = Policy::default();
        let Some(node) = self.document.get("policy") else { return usual };
        let text = |key: &str| Some((node.get(key)?.as_text()?.to_owned(), node.get(key)?.span));
        let truth = |key: &str| node.get(key)?.as_scalar()?.as_bool();
        let (prune, rollback) = (truth("prune"), truth("rollback"));
        let (max, deadline, drift) = (text("max_removals"), text("health_deadline"), text("drift"));
        let max_removals = max.and_then(|(written, span)| {
            let percent = percent(&written);
            if percent.is_none() {
                let title = format!("`max_removals` must be a percentage; found `{written}`");
                self.error(span, title, "write it like `50%`; `0%` asks before each removal");
            }
            percent
        });
        let deadline = deadline.and_then(|(written, span)| {
            let deadline = spec::duration(&written)?;
            if deadline.is_zero() {
                let help = "nothing is healthy at once; `5m` is the default";
                self.error(span, "`health_deadline` is zero", help);
            }
            Some(deadline)
        });
        let drift = drift.map(|(word, _)| match word.as_str() {
            "off" => Drift::Off,
            "detect" => Drift::Detect,
            _ => Drift::Correct,
        });
        Policy {
            prune: prune.unwrap_or(usual.prune),
            max_removals: max_removals.unwrap_or(usual.max_removals),
            health_deadline: deadline.unwrap_or(usual.health_deadline),
            rollback: rollback.unwrap_or(usual.rollback),
            drift: drift.unwrap_or(usual.drift),
        }
    }
}

/// `50%`.
fn percent(written: &str) -> Option<u8> {
    let number = written.strip_suffix('%')?.trim().parse().ok()?;
    (number <= 100).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        parse(Path::new("/etc/windlass/gitops.yaml"), text)
            .map_err(|failed| failed.diagnostics.render(&failed.sources, false))
    }

    #[test]
    fn the_shortest_file_has_every_default() {
        let settings = read("repo: https://git.example.org/team/Shop.git\n").unwrap();
        assert_eq!(settings.name.as_str(), "shop");
        assert_eq!(settings.interval, Duration::from_mins(1));
        assert_eq!(settings.policy, Policy::default());
        assert_eq!((settings.reference, settings.path), (None, None));
    }

    #[test]
    fn the_file_in_the_documentation_is_right_and_names_the_defaults() {
        let readme = include_str!("../../README.md");
        let start = readme.find("repo: git@").unwrap();
        let text = readme[start..].split("```").next().unwrap();
        assert_eq!(read(text).unwrap().policy, Policy::default());
    }

    #[test]
    fn every_key_is_taken() {
        let settings = read(
            "
repo: git@git.example.org:team/shop.git
ref: 1.10
path: deploy/windlass.yaml
name: live
env_file: ./live.env
profiles: [metrics]
interval: 30s
deploy_key: keys/shop
known_hosts: /etc/windlass/known_hosts
policy: { prune: no, max_removals: 0%, health_deadline: 90s, rollback: false, drift: detect }
",
        )
        .unwrap();
        assert_eq!(settings.name.as_str(), "live");
        assert_eq!(settings.reference.as_deref(), Some("1.10"));
        assert_eq!(settings.path.as_deref(), Some(Path::new("deploy/windlass.yaml")));
        assert_eq!(settings.env_file.as_deref(), Some(Path::new("/etc/windlass/live.env")));
        assert_eq!(settings.deploy_key.as_deref(), Some(Path::new("/etc/windlass/keys/shop")));
        let policy = Policy {
            prune: false,
            max_removals: 0,
            health_deadline: Duration::from_secs(90),
            rollback: false,
            drift: Drift::Detect,
        };
        assert_eq!(settings.policy, policy);
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once_at_its_place() {
        let said = read(
            "
repo: http://git.example.org/shop.git
reff: main
path: ../elsewhere.yaml
interval: 10ms
policy: { max_removals: 5, drift: repair, prunes: true }
",
        )
        .unwrap_err();
        insta::assert_snapshot!(said);
    }

    #[test]
    fn a_file_without_a_repository_says_so() {
        assert!(read("ref: main\n").unwrap_err().contains("the gitops file has no `repo`"));
        assert!(read("").unwrap_err().contains("empty"));
        assert!(read("- a\n").unwrap_err().contains("a gitops file is a mapping"));
        assert!(read("repo: /srv/***.git\n").unwrap_err().contains("give it a `name:`"));
    }
}
