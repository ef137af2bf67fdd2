//! How far the fetching of one image is, as events. It decides what is worth
//! saying, never how it looks.

use crate::event::{Events, What};
use crate::plan::Resource;
use crate::stack::ImageSource;

const MEBIBYTE: u64 = 1 << 20;

/// Says what happens to one image.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    events: Events,
    source: ImageSource,
}

impl Progress {
    pub(super) fn new(events: &Events, source: &ImageSource) -> Self {
        Self { events: events.clone(), source: source.clone() }
    }

    /// What is done now: `pulling`.
    pub(super) fn doing(&self, doing: impl Into<String>) {
        self.send(What::Running { doing: doing.into() });
    }

    /// What a program says on the way.
    pub(super) fn said(&self, text: impl Into<String>) {
        self.send(What::Progress { text: text.into() });
    }

    /// A line that stays.
    pub(super) fn note(&self, text: impl Into<String>) {
        self.send(What::Note { text: text.into() });
    }

    /// Counts bytes of `total`, where that is known.
    pub(super) fn bytes(&self, total: Option<u64>) -> Count<'_> {
        Count { progress: self, total, done: 0, shown: 0 }
    }

    fn send(&self, what: What) {
        self.events.send(Resource::Image(self.source.clone()), what);
    }
}

/// Bytes that have come, said once a mebibyte.
#[derive(Debug)]
pub(super) struct Count<'a> {
    progress: &'a Progress,
    total: Option<u64>,
    done: u64,
    shown: u64,
}

impl Count<'_> {
    /// `bytes` more have come.
    pub(super) fn add(&mut self, bytes: u64) {
        self.done += bytes;
        if self.done - self.shown < MEBIBYTE {
            return;
        }
        self.shown = self.done;
        let done = self.done / MEBIBYTE;
        self.progress.said(match self.total {
            Some(total) => format!("{done} of {} MiB", total.div_ceil(MEBIBYTE)),
            None => format!("{done} MiB"),
        });
    }
}
