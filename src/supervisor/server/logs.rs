//! `GET /v1/logs`: a query, and what workloads wrote as lines of JSON.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State, rejection::QueryRejection};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::refusal::{Wrong, failed};
use super::{Message, Office};
use crate::logs::{From, Logs, all_ended, since};
use crate::stack::{InstanceId, StackName};
use crate::state::log::{Line, Stream as Output};
use crate::state::{Directories, InstanceRecord};

/// The parameters there are.
const PARAMETERS: &str = "`names` (web,db-2), `follow` (true, false), `tail` (a number of lines, or \
                          `all`), `since` (a time, seconds since the epoch, or `10m` ago)";

/// One line of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Who wrote it.
    pub instance: String,
    /// When.
    pub time: Timestamp,
    /// `stdout` or `stderr`; a VM's console is `stdout`.
    pub stream: String,
    /// What, without its end of line.
    pub text: String,
}

/// What is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    names: Vec<String>,
    follow: bool,
    tail: Option<usize>,
    since: Option<Timestamp>,
}

/// Answers it.
pub(super) async fn logs(
    State(office): State<Office>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Response {
    let unreadable = |wrong: Wrong| wrong.answer(StatusCode::BAD_REQUEST);
    let asked = match query {
        Ok(Query(pairs)) => Asked::read(&pairs, Timestamp::now(), &TimeZone::system()),
        Err(rejection) => Err(Wrong::new(rejection.body_text().to_lowercase())),
    };
    let asked = match asked {
        Ok(asked) => asked,
        Err(wrong) => return unreadable(wrong),
    };
    let (directories, stack) = (&office.world.directories, &office.hello.stack);
    let records = match InstanceRecord::of_stack(directories, stack) {
        Ok(records) => records,
        Err(error) => return failed(&error),
    };
    let ids: Vec<InstanceId> = match InstanceRecord::named(records, &asked.names) {
        Ok(records) => records.into_iter().map(|record| record.id).collect(),
        Err(unknown) => {
            let help = format!("there are {}", unknown.known.join(", "));
            let wrong = Wrong::new(unknown.to_string()).parameter("names").help(help);
            return wrong.answer(StatusCode::NOT_FOUND);
        }
    };
    let opened = Logs::open(directories, stack, &ids).and_then(|mut logs| {
        let from = From { tail: asked.tail, since: asked.since };
        let past = logs.past(from, !asked.follow)?;
        Ok((logs, past))
    });
    let (logs, past) = match opened {
        Ok(opened) => opened,
        Err(error) => return failed(&error),
    };
    let past = Bytes::from(in_json(&ids, &past));
    let body = if asked.follow {
        let to_come = Following {
            logs,
            ids,
            directories: directories.clone(),
            stack: stack.clone(),
            messages: office.messages.clone(),
            past: Some(past),
        };
        Body::from_stream(to_come.lines())
    } else {
        Body::from(past)
    };
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

impl Asked {
    fn read(pairs: &[(String, String)], now: Timestamp, zone: &TimeZone) -> Result<Self, Wrong> {
        let mut asked = Self::default();
        for (name, value) in pairs {
            let bad = |what: &str| Wrong::new(format!("`{value}` is not {what}")).parameter(name);
            match name.as_str() {
                "names" => {
                    let names = value.split(',').filter(|name| !name.is_empty());
                    asked.names.extend(names.map(str::to_owned));
                }
                "follow" => match value.as_str() {
                    "true" => asked.follow = true,
                    "false" => asked.follow = false,
                    _ => return Err(bad("`true` or `false`")),
                },
                "tail" if value == "all" => asked.tail = None,
                "tail" => {
                    let lines = value.parse();
                    asked.tail = Some(lines.map_err(|_| bad("a number of lines, or `all`"))?);
                }
                "since" => {
                    let time = since::parse(value, now, zone);
                    asked.since = Some(time.ok_or_else(|| {
                        bad("a time").help("`10m`, `2026-11-02` or `2026-11-02T10:00:00Z`")
                    })?);
                }
                other => {
                    let wrong = Wrong::new(format!("there is no parameter `{other}`"));
                    return Err(wrong.parameter(name).help(format!("there are {PARAMETERS}")));
                }
            }
        }
        Ok(asked)
    }
}

/// Logs that are followed.
struct Following {
    logs: Logs,
    ids: Vec<InstanceId>,
    directories: Directories,
    stack: StackName,
    messages: mpsc::UnboundedSender<Message>,
    past: Option<Bytes>,
}

impl Following {
    /// Lines as they come, until nobody writes any more or the supervisor leaves.
    fn lines(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
        stream::unfold(Some(self), |following| async {
            let mut following = following?;
            if let Some(past) = following.past.take().filter(|past| !past.is_empty()) {
                return Some((Ok(past), Some(following)));
            }
            let ended = all_ended(&following.directories, &following.stack, &following.ids);
            let (lines, more) = tokio::select! {
                biased;
                lines = following.logs.next() => (lines, true),
                () = ended => (following.logs.rest(), false),
                () = following.messages.closed() => (following.logs.rest(), false),
            };
            let text = match lines {
                Ok(lines) => in_json(&following.ids, &lines),
                Err(error) => {
                    let error = crate::diagnostic::chain(&error).join(": ");
                    tracing::warn!(%error, "cannot follow the logs");
                    return None;
                }
            };
            Some((Ok(text.into()), more.then_some(following)))
        })
    }
}

fn in_json(ids: &[InstanceId], lines: &[(usize, Line)]) -> String {
    let mut text = String::new();
    for (place, line) in lines {
        let stream = match line.stream {
            Output::Stdout => "stdout",
            Output::Stderr => "stderr",
        };
        let line = serde_json::json!({
            "instance": ids[*place].to_string(),
            "time": line.time.to_string(),
            "stream": stream,
            "text": line.text,
        });
        text.push_str(&line.to_string());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &[(&str, &str)]) -> Result<Asked, Wrong> {
        let pairs: Vec<(String, String)> =
            query.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let now = "2026-11-02T12:00:00Z".parse().expect("a time");
        Asked::read(&pairs, now, &TimeZone::UTC)
    }

    #[test]
    fn a_query_is_read_and_what_is_wrong_with_it_is_said_with_its_parameter() {
        let asked =
            read(&[("names", "web,db-2"), ("follow", "true"), ("tail", "5"), ("since", "10m")]);
        let since = "2026-11-02T11:50:00Z".parse().ok();
        let names = vec!["web".to_owned(), "db-2".to_owned()];
        assert_eq!(asked, Ok(Asked { names, follow: true, tail: Some(5), since }));
        assert_eq!(read(&[("tail", "all")]), Ok(Asked::default()));
        for (name, value, message) in [
            ("follow", "yes", "`yes` is not `true` or `false`"),
            ("tail", "-1", "`-1` is not a number of lines, or `all`"),
            ("since", "yesterday", "`yesterday` is not a time"),
            ("lines", "3", "there is no parameter `lines`"),
        ] {
            let wrong = read(&[(name, value)]).expect_err(name);
            assert_eq!((wrong.message.as_str(), wrong.parameter.as_deref()), (message, Some(name)));
        }
    }
}
