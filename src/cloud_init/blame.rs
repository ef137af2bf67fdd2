//! Where in the user's documents lies what cloud-init failed on: a package that
//! does not exist, a command that failed, the key of a module. A function of
//! what the guest said; where it cannot be known, it says nothing rather than
//! something wrong.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod complaint;
mod module;
mod reading;
mod schema;
mod script;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use self::complaint::Complaint;
use self::reading::Reading;
use super::Failure;
use crate::stack::vm::Document;

/// A place in a file of the user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blame {
    /// The file, as it is shown.
    pub path: PathBuf,
    /// What was in it when the guest was made.
    pub text: Arc<str>,
    /// The bytes that are meant.
    pub range: Range<usize>,
    /// What the guest said about it; `None`: nothing that names it.
    pub said: Option<String>,
}

/// The errors by whether they have a place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Each place once, in the order of the errors.
    pub places: Vec<Blame>,
    /// Errors without one, in the guest's words.
    pub elsewhere: Vec<String>,
}

/// Where each error of `failure` comes from.
pub fn find(documents: &[Document], failure: &Failure) -> Verdict {
    let readings: Vec<Reading<'_>> = documents.iter().map(Reading::new).collect();
    let log = failure.log_of_this_boot();
    let mut verdict = Verdict::default();
    for error in &failure.errors {
        let complaint = Complaint::read(error);
        let place = script::find(&readings, &complaint, log)
            .or_else(|| module::find(&readings, &complaint, log))
            .or_else(|| schema::find(&readings, error));
        match place {
            Some(place) => verdict.add(place),
            None => verdict.elsewhere.push(error.clone()),
        }
    }
    if verdict.places.is_empty() {
        verdict.places.extend(schema::find(&readings, log));
    }
    verdict
}

impl Verdict {
    /// Two errors may have one cause.
    fn add(&mut self, place: Blame) {
        let same = |it: &Blame| it.path == place.path && it.range == place.range;
        if !self.places.iter().any(same) {
            self.places.push(place);
        }
    }
}

#[cfg(test)]
mod tests;
