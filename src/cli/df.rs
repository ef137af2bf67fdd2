//! `df`: what takes room, and how much of it nothing uses.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::Serialize;

use super::arguments::{Df, Format};
use super::ui::{Table, words};
use super::{CommandError, Exit, Invocation, images, instances};
use crate::image;
use crate::stack::Kind;
use crate::volume;

/// One kind of thing.
#[derive(Serialize)]
struct Row {
    what: &'static str,
    count: usize,
    bytes: u64,
    /// Bytes that `prune` would free.
    unused_bytes: u64,
}

pub(super) fn run(invocation: &Invocation, arguments: &Df) -> Result<Exit, CommandError> {
    let rows = [images_row(invocation)?, volumes_row(invocation)?]
        .into_iter()
        .chain(instance_rows(invocation)?)
        .chain([cache_row(invocation)]);
    let rows: Vec<Row> = rows.collect();
    if arguments.format == Format::Json {
        invocation.screen.json(&rows)?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(["WHAT", "COUNT", "SIZE", "UNUSED"]);
    for row in &rows {
        let (size, unused) = (words::bytes(row.bytes), words::bytes(row.unused_bytes));
        table.row([row.what.to_owned(), row.count.to_string(), size, unused]);
    }
    invocation.screen.table(&table)?;
    Ok(Exit::Done)
}

fn images_row(invocation: &Invocation) -> Result<Row, CommandError> {
    let store = image::Store::open(&invocation.directories)?;
    let users = images::users(invocation)?;
    let images = store.list()?;
    let unused = images.iter().filter(|image| !users.contains_key(&image.digest));
    let unused_bytes = unused.map(|image| image.bytes).sum();
    let bytes = store.bytes()?;
    // Layers that are shared with a used image are not free to go.
    Ok(Row { what: "images", count: images.len(), bytes, unused_bytes: bytes.min(unused_bytes) })
}

fn volumes_row(invocation: &Invocation) -> Result<Row, CommandError> {
    let volumes = volume::Store::new(&invocation.directories).list()?;
    let bytes = volumes.iter().map(|volume| volume.bytes).sum();
    Ok(Row { what: "volumes", count: volumes.len(), bytes, unused_bytes: 0 })
}

fn instance_rows(invocation: &Invocation) -> Result<[Row; 2], CommandError> {
    let new = |what| Row { what, count: 0, bytes: 0, unused_bytes: 0 };
    let mut rows = [new("vm disks"), new("container layers")];
    for record in instances::everywhere(invocation)? {
        let row = &mut rows[usize::from(record.kind == Kind::Container)];
        row.count += 1;
        row.bytes += bytes_below(&invocation.directories.instance(&record.stack, &record.id));
    }
    Ok(rows)
}

fn cache_row(invocation: &Invocation) -> Row {
    let cache = &invocation.directories.cache;
    let count = fs::read_dir(cache).map_or(0, Iterator::count);
    let bytes = bytes_below(cache);
    Row { what: "downloads", count, bytes, unused_bytes: bytes }
}

/// Bytes that a tree takes on the disk; what cannot be read counts as nothing.
fn bytes_below(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    let own = metadata.blocks() * 512;
    if !metadata.is_dir() {
        return own;
    }
    let entries = fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
    own + entries.map(|entry| bytes_below(&entry.path())).sum::<u64>()
}
