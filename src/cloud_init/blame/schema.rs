//! A cloud-config that cloud-init's schema refuses: it names the path of keys.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::Blame;
use super::reading::Reading;
use crate::yaml::Node;

/// What stands before the first path.
const HEADS: [&str; 3] = [
    "Cloud config schema errors: ",
    "Invalid cloud-config provided:",
    "Invalid user-data provided:",
];

pub(super) fn find(readings: &[Reading<'_>], text: &str) -> Option<Blame> {
    let text = text.replace("\\n", "\n");
    let after = HEADS.iter().find_map(|head| text.split_once(head).map(|(_, after)| after))?;
    let line = after.trim_start().lines().next()?;
    let (path, said) = line.split_once(": ")?;
    readings.iter().find_map(|reading| at(reading, path, said.trim()))
}

/// As deep as the document has the path: a key that is missing has no place.
fn at(reading: &Reading<'_>, path: &str, said: &str) -> Option<Blame> {
    let mut words = path.split('.');
    let first = words.next()?;
    let said = || Some(said.to_owned());
    let mut node: &Node = reading.get(first)?;
    let mut deeper = false;
    for word in words {
        let below = match word.parse::<usize>() {
            Ok(number) => node.as_sequence().and_then(|items| items.get(number)),
            Err(_) => node.get(word),
        };
        let Some(below) = below else { break };
        (node, deeper) = (below, true);
    }
    if deeper { reading.blame_node(node, said()) } else { reading.blame_key(first, said()) }
}
