//! `images`: what is in the image store, of both kinds.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::arguments::{Format, Images};
use super::ui::{Table, words};
use super::{CommandError, Exit, Invocation, instances};
use crate::image::{Store, StoredImage, Users};

pub(super) fn run(invocation: &Invocation, arguments: &Images) -> Result<Exit, CommandError> {
    let images = Store::open(&invocation.directories)?.list()?;
    if arguments.quiet {
        for image in &images {
            invocation.screen.data(&image.digest)?;
        }
        return Ok(Exit::Done);
    }
    match arguments.format {
        Format::Json => invocation.screen.json(&images)?,
        Format::Table => {
            let users = users(invocation)?;
            let nothing = invocation.screen.stdout.nothing();
            let now = Timestamp::now().as_second();
            let mut table = Table::new(["IMAGE", "KIND", "DIGEST", "SIZE", "CREATED", "USED BY"]);
            for image in &images {
                let used = users.get(&image.digest).map(|users| users.join(", "));
                table.row([
                    name(image).unwrap_or_else(|| nothing.to_owned()),
                    image.kind.to_string(),
                    short(&image.digest).to_owned(),
                    words::bytes(image.bytes),
                    words::age(now - image.created),
                    used.unwrap_or_else(|| nothing.to_owned()),
                ]);
            }
            invocation.screen.table(&table)?;
        }
    }
    Ok(Exit::Done)
}

/// Who is made from which image, in all stacks.
pub(super) fn users(invocation: &Invocation) -> Result<Users, CommandError> {
    let mut users: Users = BTreeMap::new();
    for record in instances::everywhere(invocation)? {
        let user = format!("{} {} of {}", record.kind, record.id, record.stack);
        users.entry(record.image_digest).or_default().push(user);
    }
    Ok(users)
}

/// What it was asked for as.
pub(super) fn name(image: &StoredImage) -> Option<String> {
    (!image.names.is_empty()).then(|| image.names.join(", "))
}

/// As much of a digest as tells images apart.
pub(super) fn short(digest: &str) -> &str {
    let digits = digest.strip_prefix("sha256:").unwrap_or(digest);
    digits.get(..12).unwrap_or(digits)
}
