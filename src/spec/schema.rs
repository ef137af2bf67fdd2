//! The JSON schema of a stack file, written from the same tables that check it.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use schemars::{Schema, json_schema};
use serde_json::{Map, Value as Json, json};

use super::form::{Form, Key, Object, State};
use super::keys::{ROOT, SERVICE, VM};

/// The schema for editors; `schemas/stack.schema.json` is this text.
pub fn json_schema() -> String {
    let schema: Schema = json_schema!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Windlass stack file",
        "description": "VMs and containers from one Compose-style file.",
        "$ref": "#/$defs/stack",
        "$defs": {
            "stack": object(&ROOT),
            "service": object(&SERVICE),
            "vm": object(&VM),
        },
    });
    format!("{:#}\n", Json::from(schema))
}

/// The schema of another kind of file, written from its own table.
pub(crate) fn schema_of(title: &str, description: &str, form: &'static Object) -> String {
    let mut schema = object(form);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(title);
    schema["description"] = json!(description);
    format!("{schema:#}\n")
}

fn object(form: &'static Object) -> Json {
    let properties: Map<String, Json> =
        form.keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let mut schema = json!({
        "type": ["object", "null"],
        "properties": properties,
        "patternProperties": { "^x-": {} },
        "additionalProperties": false,
    });
    if !form.required.is_empty() {
        schema["required"] = json!(form.required);
    }
    schema
}

fn property(key: &'static Key) -> Json {
    let mut schema = form(&key.form);
    let note = match key.state {
        State::Carried => None,
        State::Later => Some("Not carried out yet: named in a warning and ignored."),
        State::Obsolete => Some("Obsolete: ignored."),
    };
    if let (Some(note), Some(entries)) = (note, schema.as_object_mut()) {
        entries.insert("description".to_owned(), json!(note));
    }
    schema
}

fn form(form: &'static Form) -> Json {
    match form {
        Form::Any => json!({}),
        Form::Text => json!({ "type": ["string", "null"] }),
        Form::Scalar => json!({ "type": ["string", "number", "boolean", "null"] }),
        Form::Bool => json!({ "type": ["boolean", "string", "null"] }),
        Form::Integer => json!({ "type": ["integer", "string", "null"] }),
        Form::Number | Form::Bytes => json!({ "type": ["number", "string", "null"] }),
        Form::Duration => json!({ "type": ["string", "number", "null"] }),
        Form::Words(words) => json!({ "enum": words }),
        Form::List(item) => json!({ "type": ["array", "null"], "items": self::form(item) }),
        Form::Map(value) => {
            json!({ "type": ["object", "null"], "additionalProperties": self::form(value) })
        }
        Form::Object(keys) if std::ptr::eq(*keys, &raw const SERVICE) => {
            json!({ "$ref": "#/$defs/service" })
        }
        Form::Object(keys) if std::ptr::eq(*keys, &raw const VM) => json!({ "$ref": "#/$defs/vm" }),
        Form::Object(keys) => object(keys),
        Form::Either(forms) => {
            json!({ "anyOf": forms.iter().map(self::form).collect::<Vec<_>>() })
        }
    }
}
