//! Waiting for a guest's word, and saying what it was: ready, failed, or nothing
//! at all, with the last lines that explain it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use super::boot::Boot;
use super::error::QemuError;
use super::place::Place;
use super::{Qemu, resource};
use crate::cloud_init::{Failure, without_escapes};
use crate::event::{Events, What};
use crate::guest::readiness::{self, Word};
use crate::observed::Readiness;
use crate::shim::{self, process};
use crate::stack::health::format_duration;
use crate::stack::{InstanceId, StackName};
use crate::state::log;

/// Lines of the console that are shown when a guest never became ready.
const CONSOLE_LINES: usize = 20;

impl Qemu {
    /// Returns when the guest of the present run is ready.
    pub(super) async fn hear(
        &self,
        stack: &StackName,
        id: &InstanceId,
        events: &Events,
    ) -> Result<(), QemuError> {
        let place = self.place(stack, id);
        let boot = Boot::read(&place.run).ok_or(QemuError::NotRunning)?;
        let alive = shim::look(&place.run).filter(|alive| alive.process);
        let word = if let Some(word) = readiness::look(&place.ready(), &boot.nonce)? {
            word
        } else {
            let alive = alive.ok_or(QemuError::NotRunning)?;
            if !boot.says_ready {
                return self.amend(stack, id, |record| record.ever_ready = true);
            }
            let doing = "waiting for cloud-init".to_owned();
            events.send(resource(id), What::Running { doing });
            let (word, took) = wait(&place, &boot, alive.status.started).await?;
            if word.errors.is_empty() {
                let text = format!("cloud-init done in {}s", took.as_secs());
                events.send(resource(id), What::Note { text });
            }
            word
        };
        note(self, stack, id, &word)?;
        if word.errors.is_empty() {
            return Ok(());
        }
        let ever_ready = self.record(stack, id)?.ever_ready;
        let Word { errors, log, .. } = word;
        Err(Failure { errors, log, ever_ready }.into())
    }
}

async fn wait(place: &Place, boot: &Boot, started: i64) -> Result<(Word, Duration), QemuError> {
    let since_start =
        || Duration::from_secs(u64::try_from(process::now() - started).unwrap_or_default());
    let left = boot.ready_timeout.saturating_sub(since_start());
    let (file, exit_file) = (place.ready(), place.exit());
    tokio::select! {
        biased;
        word = readiness::wait(&file, &boot.nonce) => Ok((word?, since_start())),
        ended = shim::ended(&place.run, &exit_file) => {
            ended?;
            Err(QemuError::EndedEarly { console: last_console_lines(place) })
        }
        () = tokio::time::sleep(left) => Err(QemuError::NeverReady {
            limit: format_duration(boot.ready_timeout),
            console: last_console_lines(place),
        }),
    }
}

/// Whether the present run is ready, by what was said.
pub(super) fn readiness_of(place: &Place, boot: &Boot) -> Result<Readiness, QemuError> {
    if !boot.says_ready {
        return Ok(Readiness::Ready);
    }
    Ok(match readiness::look(&place.ready(), &boot.nonce)? {
        None => Readiness::Waiting,
        Some(word) if word.errors.is_empty() => Readiness::Ready,
        Some(word) => Readiness::Failed { errors: word.errors },
    })
}

/// Records what the guest said: its keys, and that it was ready.
pub(super) fn note(
    engine: &Qemu,
    stack: &StackName,
    id: &InstanceId,
    word: &Word,
) -> Result<(), QemuError> {
    engine.amend(stack, id, |record| {
        record.ever_ready |= word.errors.is_empty();
        if let Some(vm) = &mut record.vm {
            vm.host_keys.clone_from(&word.host_keys);
        }
    })
}

fn last_console_lines(place: &Place) -> String {
    let text = tail(&place.console());
    let lines: Vec<&str> =
        text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        return "; its console is empty".to_owned();
    }
    let first = lines.len().saturating_sub(CONSOLE_LINES);
    format!("; its console's last lines:{}", indented(lines[first..].iter().copied()))
}

/// What QEMU itself said last, from its log.
pub(super) fn last_errors(log: &Path) -> String {
    let text = tail(&log.join(log::FILE));
    let said: Vec<&str> =
        text.lines().filter_map(|line| line.split_once(" stderr ")?.1.get(2..)).collect();
    let first = said.len().saturating_sub(5);
    if said.is_empty() { "it said nothing".to_owned() } else { said[first..].join("; ") }
}

/// Lines on lines of their own, without what would move a terminal's cursor.
fn indented<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.flat_map(|line| ["\n    ".to_owned(), without_escapes(line)]).collect()
}

/// The last 16 KiB of a file, lossy; empty where it cannot be read.
fn tail(path: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(16 * 1024)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}
