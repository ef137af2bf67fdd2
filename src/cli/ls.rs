//! `ls`: the stacks of this host. With `-a` also those that are down and still
//! hold disks or volumes.

use std::path::PathBuf;

use serde::Serialize;

use super::arguments::{Format, Ls};
use super::ui::{Table, words};
use super::{CommandError, Exit, Invocation, instances};
use crate::stack::{Kind, StackName};
use crate::state::StateError;
use crate::state::ledger::{self, Found};
use crate::supervisor::client::{self, Client};
use crate::volume::Store;

/// A stack, in Compose's words.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    name: String,
    status: String,
    /// What is kept although it is down.
    held: Option<String>,
    config_files: Vec<PathBuf>,
    /// Process of its supervisor.
    supervisor: Option<i32>,
    /// Where it answers, if there is one.
    socket: Option<PathBuf>,
    #[serde(skip)]
    up: bool,
}

pub(super) fn run(invocation: &Invocation, arguments: &Ls) -> Result<Exit, CommandError> {
    let screen = &invocation.screen;
    let mut rows = Vec::new();
    for stack in invocation.directories.stacks()? {
        match row(invocation, &stack) {
            Ok(row) => rows.push(row),
            // One stack's trouble hides no other.
            Err(error @ CommandError::State(StateError::Damaged { .. })) => {
                screen.error(&error);
                rows.push(damaged(&stack));
            }
            Err(error) => return Err(error),
        }
    }
    rows.retain(|row| row.up || (arguments.all && row.held.is_some()));
    if arguments.quiet {
        for row in &rows {
            screen.data(&row.name)?;
        }
        return Ok(Exit::Done);
    }
    if arguments.format == Format::Json {
        screen.json(&rows)?;
        return Ok(Exit::Done);
    }
    let nothing = || screen.stdout.nothing().to_owned();
    let mut table = Table::new(["NAME", "STATUS", "HOLDS", "SUPERVISOR", "CONFIG FILES"]);
    for row in rows {
        let files: Vec<String> =
            row.config_files.iter().map(|file| file.display().to_string()).collect();
        let files = if files.is_empty() { nothing() } else { files.join(",") };
        let supervisor = row.supervisor.map_or_else(nothing, |pid| format!("pid {pid}"));
        table.row([row.name, row.status, row.held.unwrap_or_else(nothing), supervisor, files]);
    }
    screen.table(&table)?;
    Ok(Exit::Done)
}

fn damaged(stack: &StackName) -> Row {
    Row {
        name: stack.to_string(),
        status: "damaged".to_owned(),
        held: None,
        config_files: Vec::new(),
        supervisor: None,
        socket: None,
        up: true,
    }
}

fn row(invocation: &Invocation, stack: &StackName) -> Result<Row, CommandError> {
    let records = instances::chosen(invocation, stack, &[])?;
    let running = records.iter().filter(|record| instances::is_alive(invocation, record)).count();
    // `down` takes containers away and keeps what a VM has written.
    let at_rest = records.iter().filter(|record| record.kind == Kind::Container).count();
    let disks = records.iter().filter(|record| record.kind == Kind::Vm).count();
    let volumes = Store::new(&invocation.directories).list()?;
    let volumes = volumes.iter().filter(|volume| volume.record.stack == *stack).count();
    let status = match (running, records.len() - running) {
        (0, _) if at_rest == 0 => "down".to_owned(),
        (0, stopped) => format!("stopped({stopped})"),
        (running, 0) => format!("running({running})"),
        (running, stopped) => format!("running({running}), stopped({stopped})"),
    };
    let mut held = Vec::new();
    if disks > 0 {
        held.push(words::count(disks, "disk", "disks"));
    }
    if volumes > 0 {
        held.push(words::count(volumes, "volume", "volumes"));
    }
    // A damaged ledger is a lost one; whose stack it is, is all that is missing.
    let config_files = match ledger::read(&invocation.directories.stack(stack))? {
        Found::Ledger(ledger) => ledger.files,
        Found::Lost(_) => Vec::new(),
    };
    let supervisor = client::process(&invocation.directories, stack);
    let socket = supervisor.map(|_| Client::new(&invocation.directories, stack).socket());
    Ok(Row {
        name: stack.to_string(),
        status,
        held: (!held.is_empty()).then(|| held.join(", ")),
        config_files,
        supervisor,
        socket,
        up: running > 0 || at_rest > 0,
    })
}
