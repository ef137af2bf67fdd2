//! `prune`: takes unused images away. Disks and volumes are data and never
//! among them.

use super::arguments::Prune;
use super::ui::words;
use super::{CommandError, Exit, Invocation, images};
use crate::image::Store;

pub(super) fn run(invocation: &Invocation, arguments: &Prune) -> Result<Exit, CommandError> {
    let store = Store::open(&invocation.directories)?;
    let users = images::users(invocation)?;
    let screen = &invocation.screen;
    let shown = |image: &crate::image::StoredImage| {
        let name = images::name(image);
        name.unwrap_or_else(|| images::short(&image.digest).to_owned())
    };
    if arguments.dry_run {
        for image in store.list()?.iter().filter(|image| !users.contains_key(&image.digest)) {
            screen.data(&format!("{}  {}", shown(image), words::bytes(image.bytes)))?;
        }
        return Ok(Exit::Done);
    }
    let pruned = store.prune(&users)?;
    for image in &pruned.images {
        screen.data(&shown(image))?;
    }
    let count = words::count(pruned.images.len(), "unused image", "unused images");
    screen.say(&format!("removed {count}, {} are free again", words::bytes(pruned.bytes)));
    Ok(Exit::Done)
}
