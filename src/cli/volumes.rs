//! `volumes`: named volumes and disks that were set aside, of all stacks.

use serde::Serialize;

use super::arguments::{Format, Volumes};
use super::ui::{Table, words};
use super::{CommandError, Exit, Invocation};
use crate::stack::VolumeKind;
use crate::volume::{Store, StoredVolume};

/// A volume for programs.
#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    stack: &'a str,
    kind: &'static str,
    bytes: u64,
    /// Bytes a disk may grow to.
    size: Option<u64>,
}

pub(super) fn run(invocation: &Invocation, arguments: &Volumes) -> Result<Exit, CommandError> {
    let screen = &invocation.screen;
    let volumes = Store::new(&invocation.directories).list()?;
    let rows: Vec<Row<'_>> = volumes.iter().map(row).collect();
    if arguments.quiet {
        for row in &rows {
            screen.data(row.name)?;
        }
        return Ok(Exit::Done);
    }
    if arguments.format == Format::Json {
        screen.json(&rows)?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(["NAME", "STACK", "KIND", "USED", "SIZE"]);
    for row in &rows {
        table.row([
            row.name.to_owned(),
            row.stack.to_owned(),
            row.kind.to_owned(),
            words::bytes(row.bytes),
            row.size.map_or_else(|| screen.stdout.nothing().to_owned(), words::bytes),
        ]);
    }
    screen.table(&table)?;
    Ok(Exit::Done)
}

fn row(volume: &StoredVolume) -> Row<'_> {
    let (kind, size) = match volume.record.kind {
        VolumeKind::Directory => ("directory", None),
        VolumeKind::Disk { size } => ("disk", Some(size)),
    };
    Row {
        name: &volume.resolved,
        stack: volume.record.stack.as_str(),
        kind,
        bytes: volume.bytes,
        size,
    }
}
