//! Healthchecks as the file means them.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How to tell whether a workload works. Defaults are Compose's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Healthcheck {
    /// What is asked.
    pub test: Probe,
    /// Time between the end of one check and the next (30 s).
    #[serde(with = "duration")]
    pub interval: Duration,
    /// How long one check may take (30 s).
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// Failures in a row that make it unhealthy (3).
    pub retries: u32,
    /// Failures within this time after the start do not count (0 s).
    #[serde(with = "duration")]
    pub start_period: Duration,
    /// Interval within the start period (5 s).
    #[serde(with = "duration")]
    pub start_interval: Duration,
}

/// What a healthcheck asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// Run a command inside: `CMD`.
    Exec(Vec<String>),
    /// Run a shell line inside: `CMD-SHELL`.
    Shell(String),
    /// The image's own healthcheck with these timings (a test was not given).
    Image,
    /// No check, also not the image's: `NONE` or `disable: true`.
    Disabled,
}

/// Durations as text in the field-by-field view: `2s`, `1m30s`.
pub mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes `duration` in nanoseconds with its unit, exactly.
    pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::format_duration(*duration))
    }

    /// Reads what [`serialize`] wrote.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        super::parse_duration(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a duration")))
    }
}

/// `1h30m`, `2s`, `1.5s`, `250ms`: the shortest exact form in Compose's syntax.
pub fn format_duration(duration: Duration) -> String {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    if seconds == 0 && nanos > 0 {
        return if nanos.is_multiple_of(1_000_000) {
            format!("{}ms", nanos / 1_000_000)
        } else if nanos.is_multiple_of(1_000) {
            format!("{}us", nanos / 1_000)
        } else {
            format!("{nanos}ns")
        };
    }
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = String::new();
    if hours > 0 {
        text.push_str(&format!("{hours}h"));
    }
    if minutes > 0 {
        text.push_str(&format!("{minutes}m"));
    }
    if nanos > 0 {
        let fraction = format!("{nanos:09}");
        text.push_str(&format!("{rest}.{}s", fraction.trim_end_matches('0')));
    } else if rest > 0 || text.is_empty() {
        text.push_str(&format!("{rest}s"));
    }
    text
}

/// Compose's durations: a sequence of decimal numbers with a unit each
/// (`us`/`µs`, `ms`, `s`, `m`, `h`, and `d`/`w` nowhere). `None` if it is not one.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text.is_empty() {
        return None;
    }
    let mut rest = text;
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += number
            * match &rest[..unit_end] {
                "ns" => 1e-9,
                "us" | "µs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
        rest = &rest[unit_end..];
    }
    Duration::try_from_secs_f64(total).ok()
}
