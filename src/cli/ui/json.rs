//! Progress for programs: one JSON object a line. Pure.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::words::kind_and_name;
use crate::diagnostic::{Diagnostic, Severity, Sources};
use crate::event::Event;

/// An event: `{"elapsed":6.4,"kind":"vm","name":"db","event":"done","state":"ready",…}`.
pub fn event(event: &Event, elapsed: Duration) -> String {
    let (kind, name) = kind_and_name(&event.resource);
    let mut object = Map::new();
    let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    object.insert("elapsed_ms".into(), json!(milliseconds));
    object.insert("kind".into(), json!(kind));
    object.insert("name".into(), json!(name));
    // `{"done": {"state": …}}`: the event's name and its fields, side by side.
    if let Ok(Value::Object(what)) = serde_json::to_value(&event.what) {
        for (word, fields) in what {
            object.insert("event".into(), json!(word));
            object.extend(fields.as_object().cloned().unwrap_or_default());
        }
    }
    Value::Object(object).to_string()
}

/// An error or a warning about a place in the user's files.
pub fn diagnostic(diagnostic: &Diagnostic, sources: &Sources) -> String {
    let level = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let place = diagnostic.labels.first().map(|label| sources.place(label.span));
    json!({
        "event": level,
        "message": diagnostic.title,
        "place": place,
        "help": diagnostic.help,
    })
    .to_string()
}

/// The same, with what the one that it is about said.
pub fn verdict(diagnostic: &Diagnostic, sources: &Sources, words: &[String]) -> String {
    let label = diagnostic.labels.first();
    let said = label.map(|label| label.text.clone()).into_iter().chain(words.iter().cloned());
    json!({
        "event": "error",
        "message": diagnostic.title,
        "place": label.map(|label| sources.place(label.span)),
        "said": said.collect::<Vec<String>>(),
        "help": diagnostic.help,
    })
    .to_string()
}

/// An error or a warning.
pub fn message(level: &str, text: &str, help: Option<&str>) -> String {
    json!({ "event": level, "message": text, "help": help }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::What;
    use crate::plan::Resource;
    use crate::stack::{InstanceId, Kind};

    #[test]
    fn an_event_is_flat() {
        let done = Event {
            resource: Resource::Instance(Kind::Vm, InstanceId::single("db")),
            what: What::Done { state: "ready".into(), detail: "10.77.0.2".into() },
        };
        assert_eq!(
            event(&done, Duration::from_millis(6400)),
            r#"{"elapsed_ms":6400,"kind":"vm","name":"db","event":"done","state":"ready","detail":"10.77.0.2"}"#
        );
    }
}
