//! Layers, unpacked once and shared by all images that have them.
//!
//! A layer is known by the digest of its uncompressed archive. Whoever makes
//! one holds its lock alone, so that it is not downloaded twice; whoever makes
//! an image of it holds the lock shared until the image's record is written,
//! so that no removal comes between.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::Path;

use super::ImageError;
use super::digest::{Hasher, Hashing};
use super::layout::{LayerId, Layout};
use super::unpack::{self, Unpacked};
use crate::state::file_lock;

/// A layer that is there and stays there while this value lives.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) id: LayerId,
    _lock: File,
}

/// What [`claim`] found.
#[derive(Debug)]
pub(super) enum Claim {
    /// It is there.
    There(Held),
    /// It is not; the caller alone may make it.
    Missing(File),
}

/// Takes hold of a layer, or of the right to make it. Blocks while another
/// makes it.
pub(super) fn claim(layout: &Layout, diff_id: &str) -> Result<Claim, ImageError> {
    let path = layout.layer_lock(diff_id);
    let failed = |source| ImageError::io("lock", &path)(source);
    loop {
        let shared = file_lock::shared(&path).map_err(failed)?;
        if let Some(record) = layout.read_layer(diff_id)? {
            let id = LayerId { diff_id: diff_id.to_owned(), bytes: record.bytes };
            return Ok(Claim::There(Held { id, _lock: shared }));
        }
        drop(shared);
        let alone = file_lock::exclusive(&path).map_err(failed)?;
        if layout.read_layer(diff_id)?.is_none() {
            return Ok(Claim::Missing(alone));
        }
    }
}

/// Makes a layer with what `make` puts into a directory, and holds it.
pub(super) fn make(
    layout: &Layout,
    diff_id: &str,
    make: impl Fn(&Path) -> Result<u64, ImageError>,
) -> Result<Held, ImageError> {
    loop {
        match claim(layout, diff_id)? {
            Claim::There(held) => return Ok(held),
            Claim::Missing(_alone) => {
                let scratch = layout.scratch()?;
                let prepared = scratch.path().join("layer");
                fs::create_dir(&prepared).map_err(ImageError::io("create", &prepared))?;
                let bytes = make(&prepared.join("fs"))?;
                layout.place_layer(&prepared, diff_id, bytes)?;
            }
        }
    }
}

/// Unpacks a blob into `root`, checking that it is what the image says.
pub(super) fn unpack_blob(
    blob: impl Read + 'static,
    diff_id: &str,
    root: &Path,
) -> Result<Unpacked, ImageError> {
    let failed = |source| ImageError::io("unpack into", root)(source);
    let hasher = Hasher::of(diff_id).ok_or_else(|| ImageError::Unusable {
        name: diff_id.to_owned(),
        reason: "it is no digest".to_owned(),
    })?;
    fs::create_dir(root).map_err(ImageError::io("create", root))?;
    let mut plain = Hashing::new(decompressed(blob).map_err(failed)?, hasher);
    let unpacked = unpack::unpack(&mut plain, root)?;
    let found = plain.finish().map_err(failed)?;
    if found != diff_id {
        let (what, expected) = ("a layer".to_owned(), diff_id.to_owned());
        return Err(ImageError::Mismatch { what, expected, found });
    }
    Ok(unpacked)
}

/// An archive without its compression, told by its first bytes.
pub(super) fn decompressed(blob: impl Read + 'static) -> std::io::Result<Box<dyn Read>> {
    let mut blob = BufReader::with_capacity(1 << 17, blob);
    let head = std::io::BufRead::fill_buf(&mut blob)?;
    Ok(match head {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(blob)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::with_buffer(blob)?),
        _ => Box::new(blob),
    })
}
