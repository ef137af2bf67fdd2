//! What is going on, as a model that events change and as lines that a terminal
//! shows: a pure function of model, size and time.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use unicode_width::UnicodeWidthStr;

use super::look::{Colour, Look, Mark};
use super::words::{elapsed, fitted, label, padded};
use crate::event::{Event, What};
use crate::plan::Resource;
use crate::plan::words::ordinal;

/// Wider labels are cut: a recipe's name can be as long as its packages.
const WIDEST_LABEL: usize = 32;

/// Time a spinner stays in one frame.
pub const FRAME: Duration = Duration::from_millis(100);

/// Everything that has been said, by resource, in the order it was first spoken of.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// Stands above the lines: the stack's name.
    pub title: String,
    rows: Vec<Row>,
}

#[derive(Debug, Clone)]
struct Row {
    resource: Resource,
    phase: Phase,
    /// When it began to do something.
    began: Option<Duration>,
    notes: Vec<String>,
}

#[derive(Debug, Clone)]
enum Phase {
    Waiting { on: String },
    Running { doing: String, progress: Option<String> },
    Done { state: String, detail: String, took: Duration },
    Failed { reason: String, took: Duration },
    NotStarted { needs: String },
}

/// Where lines are shown.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// Columns.
    pub width: usize,
    /// Lines; `None`: as many as there are.
    pub height: Option<usize>,
    /// Time since the model's zero.
    pub now: Duration,
    /// Colours and signs.
    pub look: Look,
}

impl Model {
    /// A model with nothing in it.
    pub fn new(title: &str) -> Self {
        Self { title: title.to_owned(), rows: Vec::new() }
    }

    /// Takes note of an event that came at `now`.
    pub fn apply(&mut self, event: &Event, now: Duration) {
        let known = self.rows.iter().position(|row| row.resource == event.resource);
        let place = known.unwrap_or_else(|| {
            self.rows.push(Row::new(event.resource.clone()));
            self.rows.len() - 1
        });
        self.rows[place].apply(&event.what, now);
    }

    /// Whether a picture of it changes by time alone.
    pub fn is_spinning(&self) -> bool {
        self.rows.iter().any(|row| matches!(row.phase, Phase::Running { .. }))
    }

    /// Whether nothing has been said.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl Row {
    fn new(resource: Resource) -> Self {
        let phase = Phase::Waiting { on: String::new() };
        Self { resource, phase, began: None, notes: Vec::new() }
    }

    fn apply(&mut self, what: &What, now: Duration) {
        let took = now.saturating_sub(self.began.unwrap_or(now));
        match what {
            What::Note { text } => self.notes.push(text.clone()),
            // What a supervisor sees while it works is worth a line as well.
            What::Ended { .. }
            | What::Again { .. }
            | What::GaveUp { .. }
            | What::Health { .. }
            | What::Follows { .. }
            | What::Drifted { .. } => self.notes.extend(in_words(what)),
            What::Progress { text } => match &mut self.phase {
                Phase::Running { progress, .. } => *progress = Some(text.clone()),
                _ => self.run(text, now),
            },
            What::Running { doing } => self.run(doing, now),
            // Between two steps of one resource: its clock goes on.
            What::Waiting { on } => self.phase = Phase::Waiting { on: on.clone() },
            What::Done { state, detail } => {
                self.phase = Phase::Done { state: state.clone(), detail: detail.clone(), took };
            }
            What::Failed { reason } => self.phase = Phase::Failed { reason: reason.clone(), took },
            // What failed itself says more than what it lacks.
            What::NotStarted { .. } if matches!(self.phase, Phase::Failed { .. }) => {}
            What::NotStarted { needs } => self.phase = Phase::NotStarted { needs: needs.clone() },
        }
    }

    fn run(&mut self, doing: &str, now: Duration) {
        self.began.get_or_insert(now);
        self.phase = Phase::Running { doing: doing.to_owned(), progress: None };
    }

    /// Lower is shown first when there is not room for all.
    fn urgency(&self) -> u8 {
        match self.phase {
            Phase::Failed { .. } => 0,
            Phase::Running { .. } => 1,
            Phase::Waiting { .. } => 2,
            Phase::NotStarted { .. } => 3,
            Phase::Done { .. } => 4,
        }
    }
}

/// The lines of a model. Those that do not fit into the frame's height are
/// folded into one: `… and 42 more (38 done)`.
pub fn render(model: &Model, frame: Frame) -> Vec<String> {
    let columns = Columns::of(model, frame);
    let mut lines = Vec::new();
    if !model.title.is_empty() {
        lines.push(frame.look.paint(Colour::Bold, &fitted(frame.look, &model.title, frame.width)));
    }
    let room = frame.height.map(|height| height.saturating_sub(lines.len()));
    let with_notes: usize = model.rows.iter().map(|row| 1 + row.notes.len()).sum();
    let Some(room) = room.filter(|room| *room < with_notes) else {
        for row in &model.rows {
            lines.push(columns.line(row, frame));
            lines.extend(row.notes.iter().map(|note| note_line(note, frame)));
        }
        return lines;
    };
    let (shown, folded) = fold(&model.rows, room);
    lines.extend(shown.iter().map(|row| columns.line(row, frame)));
    if !folded.is_empty() {
        let done = folded.iter().filter(|row| matches!(row.phase, Phase::Done { .. })).count();
        let text = format!("{} and {} more ({done} done)", frame.look.ellipsis(), folded.len());
        lines.push(format!("  {}", frame.look.paint(Colour::Dim, &text)));
    }
    lines
}

/// The most urgent rows that fit into `room` lines, in their own order, and the rest.
fn fold(rows: &[Row], room: usize) -> (Vec<&Row>, Vec<&Row>) {
    if rows.len() <= room {
        return (rows.iter().collect(), Vec::new());
    }
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&index| rows[index].urgency());
    order.truncate(room.saturating_sub(1));
    let (mut shown, mut folded) = (Vec::new(), Vec::new());
    for (index, row) in rows.iter().enumerate() {
        if order.contains(&index) { shown.push(row) } else { folded.push(row) }
    }
    (shown, folded)
}

fn note_line(note: &str, frame: Frame) -> String {
    let text = fitted(frame.look, note, frame.width.saturating_sub(6));
    format!("      {}", frame.look.paint(Colour::Dim, &text))
}

/// Where columns begin, so that lines stand under each other.
struct Columns {
    label: usize,
    state: usize,
    detail: usize,
}

impl Columns {
    fn of(model: &Model, frame: Frame) -> Self {
        let width_of = |row: &Row| label(&row.resource).width();
        let label = model.rows.iter().map(width_of).max().unwrap_or(0).min(WIDEST_LABEL);
        let label = label.min(frame.width / 3);
        let (mut state, mut detail) = (11, 0);
        for row in &model.rows {
            let (first, second) = row.words();
            if matches!(row.phase, Phase::Done { .. }) {
                state = state.max(first.width());
                detail = detail.max(second.width());
            }
        }
        // mark 4, two blanks after label and state, eight for the time.
        let room = frame.width.saturating_sub(4 + label + 2 + state + 2 + 8);
        Self { label, state, detail: detail.min(room) }
    }

    fn line(&self, row: &Row, frame: Frame) -> String {
        let look = frame.look;
        let name = padded(&fitted(look, &label(&row.resource), self.label), self.label);
        let head = format!("  {} {name}  ", look.mark(row.mark(frame.now)));
        let head_width = 4 + self.label + 2;
        let (first, second) = row.words();
        let time = row.time(frame.now).map(elapsed);
        let time_width = time.as_ref().map_or(0, |time| time.width() + 2);
        if matches!(row.phase, Phase::Running { .. } | Phase::Waiting { .. }) {
            let room = frame.width.saturating_sub(head_width + time_width);
            let text = fitted(look, &first, room);
            let time = time.map(|time| format!("  {}", look.paint(Colour::Dim, &time)));
            return format!("{head}{text}{}", time.unwrap_or_default()).trim_end().to_owned();
        }
        let state = padded(&fitted(look, &first, self.state), self.state);
        let state = match row.phase {
            Phase::Failed { .. } => look.paint(Colour::Red, &state),
            _ => state,
        };
        // Why something failed may go on to the end of the line.
        let room = frame.width.saturating_sub(head_width + self.state + 2 + 8);
        let widest = if matches!(row.phase, Phase::Done { .. }) { self.detail } else { room };
        let detail = padded(&fitted(look, &second, widest), self.detail);
        let time = time.map(|time| format!("  {}", look.paint(Colour::Dim, &format!("{time:>6}"))));
        format!("{head}{state}  {detail}{}", time.unwrap_or_default()).trim_end().to_owned()
    }
}

impl Row {
    fn mark(&self, now: Duration) -> Mark {
        match self.phase {
            Phase::Waiting { .. } | Phase::NotStarted { .. } => Mark::Idle,
            Phase::Running { .. } => {
                let frame = now.as_millis() / FRAME.as_millis();
                Mark::Spinner(usize::try_from(frame % 1000).unwrap_or_default())
            }
            Phase::Done { .. } => Mark::Done,
            Phase::Failed { .. } => Mark::Failed,
        }
    }

    fn words(&self) -> (String, String) {
        match &self.phase {
            Phase::Waiting { on } => (on.clone(), String::new()),
            Phase::Running { doing, progress: Some(progress) } => {
                (format!("{doing}  {progress}"), String::new())
            }
            Phase::Running { doing, progress: None } => (doing.clone(), String::new()),
            Phase::Done { state, detail, .. } => (state.clone(), detail.clone()),
            Phase::Failed { reason, .. } => ("failed".to_owned(), reason.clone()),
            Phase::NotStarted { needs } => ("not started".to_owned(), format!("needs {needs}")),
        }
    }

    fn time(&self, now: Duration) -> Option<Duration> {
        match &self.phase {
            Phase::Waiting { .. } | Phase::NotStarted { .. } => None,
            Phase::Running { .. } => self.began.map(|began| now.saturating_sub(began)),
            Phase::Done { took, .. } | Phase::Failed { took, .. } => Some(*took),
        }
    }
}

/// An event as a line of its own, for where there is no terminal. `None`: not
/// worth a line.
pub fn plain(event: &Event, now: Duration, look: Look) -> Option<String> {
    let words = fitted(look, &in_words(&event.what)?, usize::MAX);
    Some(format!("{:>7}  {}  {words}", elapsed(now), label(&event.resource)))
}

/// The same with the time of day.
pub fn dated(event: &Event, at: jiff::civil::DateTime, look: Look) -> Option<String> {
    let words = fitted(look, &in_words(&event.what)?, usize::MAX);
    Some(format!("{}  {}  {words}", at.strftime("%H:%M:%S"), label(&event.resource)))
}

fn in_words(what: &What) -> Option<String> {
    Some(match what {
        // Percentages would be most of the text, and waiting is what is not yet said.
        What::Progress { .. } | What::Waiting { .. } => return None,
        What::Running { doing } => doing.clone(),
        What::Done { state, detail } if detail.is_empty() => state.clone(),
        What::Done { state, detail } => format!("{state}  {detail}"),
        What::Note { text } => text.clone(),
        What::Ended { how } => how.clone(),
        What::Again { pause_ms, count } => {
            let pause = elapsed(Duration::from_millis(*pause_ms));
            format!("starting again in {pause} ({} time)", ordinal(*count))
        }
        What::GaveUp { limit } => format!("not started again: its limit of {limit} is reached"),
        What::Health { healthy: true, .. } => "healthy".into(),
        What::Health { healthy: false, output } => match output.lines().last() {
            Some(said) => format!("unhealthy: {}", said.trim()),
            None => "unhealthy".into(),
        },
        What::Follows { because } => because.clone(),
        What::Drifted { causes } => format!("not as it was made: {}", causes.join("; ")),
        What::Failed { reason } => format!("failed: {reason}"),
        What::NotStarted { needs } => format!("not started: needs {needs}"),
    })
}

#[cfg(test)]
mod tests;
