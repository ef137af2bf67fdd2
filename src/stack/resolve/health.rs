//! Healthchecks: what is asked, and how often.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeSet;
use std::time::Duration;

use super::Resolver;
use super::field::{duration, integer, text, texts, truth};
use crate::diagnostic::Diagnostic;
use crate::stack::{Healthcheck, Probe, Timing};
use crate::yaml::Node;

/// The keys that say what is asked.
const QUESTIONS: [&str; 3] = ["test", "tcp", "http"];

impl Resolver<'_> {
    pub(super) fn healthcheck(&mut self, node: &Node) -> Option<Healthcheck> {
        let check = node.get("healthcheck")?;
        let mut defaulted = BTreeSet::new();
        let mut or = |timing: Timing, written: Option<Duration>, seconds: u64| {
            written.unwrap_or_else(|| {
                defaulted.insert(timing);
                Duration::from_secs(seconds)
            })
        };
        let interval = or(Timing::Interval, duration(check, "interval"), 30);
        let timeout = or(Timing::Timeout, duration(check, "timeout"), 30);
        let start_period = or(Timing::StartPeriod, duration(check, "start_period"), 0);
        let start_interval = or(Timing::StartInterval, duration(check, "start_interval"), 5);
        let retries = integer(check, "retries").and_then(|n| n.try_into().ok());
        if retries.is_none() {
            defaulted.insert(Timing::Retries);
        }
        let test = self.probe(check);
        self.has_an_address(&test, node, check);
        let retries = retries.unwrap_or(3);
        Some(Healthcheck {
            test,
            interval,
            timeout,
            retries,
            start_period,
            start_interval,
            defaulted,
        })
    }

    fn probe(&mut self, check: &Node) -> Probe {
        if truth(check, "disable") {
            return Probe::Disabled;
        }
        let asked: Vec<&str> =
            QUESTIONS.into_iter().filter(|key| check.get(key).is_some()).collect();
        if let [first, second, ..] = asked.as_slice()
            && let Some(place) = check.get(second)
        {
            let title = format!("a healthcheck has either `{first}` or `{second}`");
            self.found.push(Diagnostic::error(title).at(place.span).help("take one of them out"));
        }
        match (check.get("test"), check.get("tcp"), check.get("http")) {
            (Some(test), ..) => self.command(check, test),
            (_, Some(port), _) => Probe::Tcp { port: self.asked_port(port) },
            (.., Some(page)) => self.page(page),
            _ => Probe::Image,
        }
    }

    fn command(&mut self, check: &Node, test: &Node) -> Probe {
        let words = texts(check, "test");
        match words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
            None => Probe::Image,
            Some(("NONE", [])) => Probe::Disabled,
            Some(("CMD", command)) if !command.is_empty() => Probe::Exec(command.to_vec()),
            Some(("CMD-SHELL", [line])) => Probe::Shell(line.clone()),
            Some(_) => {
                self.found.push(
                    Diagnostic::error(
                        "a healthcheck's list starts with `CMD`, `CMD-SHELL` or `NONE`",
                    )
                    .at(test.as_sequence().and_then(<[_]>::first).map_or(test.span, |one| one.span))
                    .help("write `[CMD, program, argument]` or one line of shell"),
                );
                Probe::Disabled
            }
        }
    }

    fn page(&mut self, page: &Node) -> Probe {
        let port = page.get("port").map_or(0, |port| self.asked_port(port));
        let path = text(page, "path").unwrap_or_else(|| "/".to_owned());
        let is_path = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
        if let Some(written) = page.get("path").filter(|_| !is_path) {
            self.error(format!("`{path}` is not a path of a page, like `/health`"), written.span);
        }
        let status = page.get("status").map(|written| {
            let status = integer(page, "status").and_then(|status| u16::try_from(status).ok());
            let status = status.filter(|status| (100..600).contains(status));
            if status.is_none() {
                self.error("a status of HTTP is 100 to 599", written.span);
            }
            status.unwrap_or(200)
        });
        Probe::Http { port, path, status }
    }

    fn asked_port(&mut self, node: &Node) -> u16 {
        let written = node.as_text().unwrap_or_default();
        let port = written.parse().ok().filter(|port| *port > 0);
        if port.is_none() {
            self.error(format!("`{written}` is not a port: 1 to 65535"), node.span);
        }
        port.unwrap_or_default()
    }

    /// What is asked over a network has to be on one.
    fn has_an_address(&mut self, test: &Probe, node: &Node, check: &Node) {
        let networks = node.get("networks").and_then(Node::as_mapping).into_iter().flatten();
        if test.needs_an_address() && networks.count() == 0 {
            self.found.push(
                Diagnostic::error("`tcp` and `http` ask over a network, and it is on none")
                    .at(check.span)
                    .help("write a `test` that runs inside"),
            );
        }
    }
}
