//! `develop.watch`: which files are followed, and what a change of them does.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::path::{Path, PathBuf};

use super::field::{items, maybe_texts, pairs, text, texts, truth};
use super::{Resolver, Written, among};
use crate::diagnostic::Diagnostic;
use crate::stack::develop::pattern::Pattern;
use crate::stack::develop::{Action, Hook, Rule, Sync, Then};
use crate::stack::{ImageSource, Mount, MountSource};
use crate::yaml::Node;

const ACTIONS: &[&str] = &["sync", "rebuild", "restart", "sync+restart", "sync+exec"];

impl Resolver<'_> {
    pub(super) fn develop(
        &mut self,
        written: Written<'_>,
        image: Option<&ImageSource>,
        mounts: &[Mount],
    ) -> Vec<Rule> {
        let Some(develop) = written.node.get("develop") else { return Vec::new() };
        let rules = items(develop, "watch").iter();
        rules.filter_map(|node| self.rule(written, node, image, mounts)).collect()
    }

    fn rule(
        &mut self,
        written: Written<'_>,
        node: &Node,
        image: Option<&ImageSource>,
        mounts: &[Mount],
    ) -> Option<Rule> {
        let path = self.followed(node);
        self.patterns_are_patterns(node);
        let word = text(node, "action")?;
        let action = match word.as_str() {
            "restart" => Action::Restart,
            "rebuild" => {
                self.can_be_rebuilt(written, node, image);
                Action::Rebuild
            }
            "sync" => Action::Sync(self.sync(node, &word, mounts, Then::Nothing)?),
            "sync+restart" => Action::Sync(self.sync(node, &word, mounts, Then::Restart)?),
            "sync+exec" => {
                let hook = self.hook(node);
                Action::Sync(self.sync(node, &word, mounts, Then::Exec(hook?))?)
            }
            _ => {
                let place = node.get("action")?.span;
                self.found.push(
                    Diagnostic::error(format!("`{word}` is not an action"))
                        .at(place)
                        .help(format!("one of `{}`", ACTIONS.join("`, `")))
                        .maybe_help(among(&word, ACTIONS)),
                );
                return None;
            }
        };
        let (ignore, include) = (texts(node, "ignore"), texts(node, "include"));
        Some(Rule { path: path?, action, ignore, include })
    }

    /// What is followed must be there: a misspelt path would be quiet for ever.
    fn followed(&mut self, node: &Node) -> Option<PathBuf> {
        let written = node.get("path")?;
        let path = PathBuf::from(written.as_text()?);
        if !self.files.exists(&path) {
            let shown = self.sources.shown_path(&path);
            self.found.push(
                Diagnostic::error(format!("there is no `{shown}` to watch")).at(written.span).help(
                    "paths start from the stack file's directory; patterns go into `include`",
                ),
            );
        }
        Some(path)
    }

    fn patterns_are_patterns(&mut self, node: &Node) {
        for item in ["ignore", "include"].iter().flat_map(|key| items(node, key)) {
            if let Some(text) = item.as_text()
                && let Err(error) = Pattern::new(text)
            {
                self.error(format!("`{text}` is not a pattern: {error}"), item.span);
            }
        }
    }

    fn sync(&mut self, node: &Node, word: &str, mounts: &[Mount], then: Then) -> Option<Sync> {
        let Some(written) = node.get("target") else {
            self.found.push(
                Diagnostic::error(format!("`{word}` needs a `target`"))
                    .at(node.key_span("action"))
                    .help("say where in the workload the files go: `target: /srv/app`"),
            );
            return None;
        };
        let target = written.as_text()?.to_owned();
        let inside = Path::new(&target);
        let climbs = inside.components().any(|part| part == std::path::Component::ParentDir);
        if !inside.is_absolute() || climbs {
            self.error(format!("`{target}` is not an absolute path"), written.span);
        }
        let bound = mounts.iter().find(|mount| {
            matches!(mount.source, MountSource::Bind { .. }) && inside.starts_with(&mount.target)
        });
        if let Some(bound) = bound {
            let title = format!("`{target}` lies in what is mounted at `{}`", bound.target);
            self.found.push(
                Diagnostic::warning(title)
                    .at(written.span)
                    .help("a mounted directory is seen inside as it is: it needs no `sync`"),
            );
        }
        Some(Sync { target, initial: truth(node, "initial_sync"), then })
    }

    fn hook(&mut self, node: &Node) -> Option<Hook> {
        let exec = node.get("exec");
        let command = exec.and_then(|exec| maybe_texts(exec, "command")).unwrap_or_default();
        let Some(exec) = exec.filter(|_| !command.is_empty()) else {
            self.found.push(
                Diagnostic::error("`sync+exec` needs a command")
                    .at(node.key_span("action"))
                    .help("write it under `exec`: `exec: { command: make }`"),
            );
            return None;
        };
        Some(Hook {
            command,
            user: text(exec, "user"),
            working_dir: text(exec, "working_dir"),
            environment: pairs(exec, "environment"),
        })
    }

    fn can_be_rebuilt(&mut self, written: Written<'_>, node: &Node, image: Option<&ImageSource>) {
        let title = match image {
            _ if written.is_vm => "`rebuild` would replace the root disk of a VM, which is data",
            Some(ImageSource::Reference(_) | ImageSource::Url { .. }) => {
                "`rebuild` needs something to build from: this image comes from elsewhere"
            }
            Some(ImageSource::Bootstrap(_) | ImageSource::Path(_)) | None => return,
        };
        let help = if written.is_vm {
            "take `sync`, `restart` or `sync+restart`; by hand, `windlass up --replace-disk` does it"
        } else {
            "take `restart`, or `build: { bootstrap: … }`, or the path of an image as `image`"
        };
        let place = node.get("action").map_or(node.span, |action| action.span);
        self.found.push(Diagnostic::error(title).at(place).help(help));
    }
}
