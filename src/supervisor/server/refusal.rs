//! What is answered to a request that cannot be carried out: JSON that says what is
//! wrong, where, and what to do. It decides nothing.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::diagnostic::chain;

/// The body of every answer that is no success: `{"error": …}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What is wrong.
    pub error: Wrong,
}

/// What is wrong with a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrong {
    /// In words, a lower-case fragment.
    pub message: String,
    /// Where in the body: its line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Where in that line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// Which parameter of the query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Wrong {
    /// Something is wrong.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// With this to be done about it.
    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// It is about a parameter of the query.
    pub(super) fn parameter(self, name: &str) -> Self {
        Self { parameter: Some(name.to_owned()), ..self }
    }

    /// As an answer.
    pub(super) fn answer(self, status: StatusCode) -> Response {
        (status, Json(Refusal { error: self })).into_response()
    }
}

/// This host could not do what was asked.
pub(super) fn failed(error: &dyn std::error::Error) -> Response {
    Wrong::new(chain(error).join(": ")).answer(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Reads a body of JSON; what is wrong with it, with its place.
#[expect(clippy::result_large_err, reason = "it is the answer, made once for a request")]
pub(super) fn read<T: DeserializeOwned>(
    body: Result<Bytes, BytesRejection>,
) -> Result<T, Response> {
    let body = body.map_err(|rejection| {
        let wrong = Wrong::new(rejection.body_text().to_lowercase());
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                let limit = super::LARGEST_BODY >> 20;
                wrong.help(format!("a body has at most {limit} MiB")).answer(rejection.status())
            }
            status => wrong.answer(status),
        }
    })?;
    serde_json::from_slice(&body).map_err(|error| {
        let message = error.to_string();
        // The place stands in fields of its own.
        let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
        let (line, column) = (Some(error.line()), Some(error.column()));
        Wrong { message, line, column, ..Wrong::default() }.answer(StatusCode::BAD_REQUEST)
    })
}
