//! meta-data, user-data and vendor-data.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use serde_json::{Map, Value};

use super::multipart::{self, Part};
use super::{Guest, check};
use crate::stack::vm::Document;

/// Runs at every boot, before cloud-init's own modules.
const BOOTHOOK: &str = include_str!("boothook.sh");

/// The user's keys with ours on top: cloud-init reads JSON as the YAML it is.
pub(super) fn meta_data(guest: &Guest<'_>) -> String {
    let hostname = Value::from(guest.desired.hostname.as_str());
    let mut keys = Map::new();
    keys.insert("local-hostname".to_owned(), hostname.clone());
    keys.insert("public-hostname".to_owned(), hostname);
    keys.extend(guest.cloud_init.meta_data.clone());
    // Ours alone: a changed one has cloud-init run again.
    keys.insert("instance-id".to_owned(), guest.instance_id.into());
    format!("{:#}\n", Value::Object(keys))
}

/// One document as it is; several as one message whose cloud-configs add up.
pub(super) fn user_data(documents: &[Document]) -> String {
    match documents {
        [] => "#cloud-config\n{}\n".to_owned(),
        [single] => single.body.clone(),
        several => {
            let names: Vec<String> =
                (1..=several.len()).map(|number| format!("user-{number:03}")).collect();
            let parts: Vec<Part<'_>> =
                several.iter().zip(&names).map(|(document, name)| part(document, name)).collect();
            multipart::text(&parts)
        }
    }
}

/// Ours, then the user's.
pub(super) fn vendor_data(documents: &[Document]) -> String {
    let names: Vec<String> =
        (1..=documents.len()).map(|number| format!("vendor-{number:03}")).collect();
    let mut parts = vec![Part { name: "windlass", kind: "text/cloud-boothook", body: BOOTHOOK }];
    parts.extend(documents.iter().zip(&names).map(|(document, name)| part(document, name)));
    multipart::text(&parts)
}

fn part<'a>(document: &'a Document, name: &'a str) -> Part<'a> {
    let kind = check::kind(&document.body).unwrap_or("text/plain");
    Part { name, kind, body: &document.body }
}
