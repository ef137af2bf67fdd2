//! Scripts that failed: `runcmd` and `bootcmd`, which cloud-init writes out as
//! one script with a command a line, and documents that are scripts themselves.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::Blame;
use super::complaint::Complaint;
use super::reading::Reading;
use crate::yaml::Node;

/// A line of the log in which a shell says where it was:
/// `…/scripts/runcmd: 4: psql: not found`, `…: line 4: …`.
struct Said<'a> {
    line: usize,
    words: &'a str,
}

pub(super) fn find(readings: &[Reading<'_>], complaint: &Complaint, log: &str) -> Option<Blame> {
    if complaint.module.as_deref() == Some("bootcmd") {
        // Its script has a name that nobody knows before.
        return of_commands(readings, "bootcmd", &said_by(log, |path| path.contains("/tmp")));
    }
    complaint.scripts().into_iter().find_map(|name| {
        let end = format!("/scripts/{name}");
        let said = said_by(log, |path| path.ends_with(&end));
        if name == "runcmd" {
            return of_commands(readings, "runcmd", &said);
        }
        of_document(readings, name, &said)
    })
}

fn said_by(log: &str, is_script: impl Fn(&str) -> bool) -> Vec<Said<'_>> {
    let read = |line| -> Option<Said<'_>> {
        let (path, rest): (&str, &str) = str::split_once(line, ": ")?;
        let (number, words) = rest.split_once(": ")?;
        let line = number.strip_prefix("line ").unwrap_or(number).parse().ok()?;
        is_script(path).then_some(Said { line, words })
    };
    log.lines().filter_map(read).collect()
}

/// A script's exit code is its last command's, unless an earlier one ends it.
fn of_commands(readings: &[Reading<'_>], key: &str, said: &[Said<'_>]) -> Option<Blame> {
    let commands: Vec<(&Reading<'_>, &Node)> = readings
        .iter()
        .filter_map(|reading| Some((reading, reading.get(key)?)))
        .flat_map(|(reading, list)| {
            list.as_sequence().into_iter().flatten().map(move |command| (reading, command))
        })
        .collect();
    let (last, earlier) = commands.split_last()?;
    // The script's first line is `#!/bin/sh`.
    let mut line = 2;
    let mut blamed: Option<(usize, &str)> = None;
    for (number, (_, command)) in commands.iter().enumerate() {
        let end = line + lines_of(command);
        let about = said.iter().rev().find(|said| (line..end).contains(&said.line));
        blamed = about.map(|said| (number, said.words)).or(blamed);
        line = end;
    }
    let may_end_early = earlier.iter().any(|(_, command)| ends_early(command));
    match blamed {
        Some((number, words)) if may_end_early || number + 1 == commands.len() => {
            let (reading, command) = commands[number];
            reading.blame_node(command, Some(words.to_owned()))
        }
        _ if may_end_early => {
            let (reading, _) = commands.first()?;
            reading.blame_key(key, None)
        }
        _ => last.0.blame_node(last.1, None),
    }
}

/// Lines that a command takes in the script: a list is quoted on one, a text
/// stands as it is.
fn lines_of(command: &Node) -> usize {
    let of_text = |node: &Node| node.as_text().map_or(0, |text| text.matches('\n').count());
    let items = command.as_sequence();
    1 + items.map_or_else(|| of_text(command), |items| items.iter().map(of_text).sum())
}

fn ends_early(command: &Node) -> bool {
    let text = command.as_text().unwrap_or_default();
    let first_of_list = command.as_sequence().and_then(|items| items.first()?.as_text());
    let words =
        |text: &str| text.contains("exit") || text.contains("set -") || text.contains("exec");
    words(text) || first_of_list.is_some_and(words)
}

/// A document that is a script: several are `user-001`, one alone is `part-001`.
fn of_document(readings: &[Reading<'_>], name: &str, said: &[Said<'_>]) -> Option<Blame> {
    let (kind, number) = name.rsplit_once('-')?;
    let number: usize = number.parse().ok()?;
    let reading = match (kind, readings) {
        ("part", [single]) if number == 1 => single,
        ("user", [_, _, ..]) => readings.get(number.checked_sub(1)?)?,
        _ => return None,
    };
    if !reading.body().starts_with("#!") {
        return None;
    }
    match said.last() {
        Some(said) => reading.blame_line(said.line, Some(said.words.to_owned())),
        None => reading.blame_line(1, None),
    }
}
