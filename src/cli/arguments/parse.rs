//! Values on the command line that are more than a word.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use crate::stack::health::parse_duration;

/// Seconds as Compose has them (`10`), or a duration (`1m30s`).
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    parse_duration(text)
        .ok_or_else(|| "neither a number of seconds nor a duration such as `1m30s`".to_owned())
}

/// `NAME=VALUE`, or `NAME` alone for the caller's own value.
pub(super) fn variable(text: &str) -> Result<(String, Option<String>), String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    if name.is_empty() {
        return Err("a variable needs a name: `NAME=VALUE`".to_owned());
    }
    Ok((name.to_owned(), value))
}

/// A signal by name, with or without `SIG`, or by number.
pub(super) fn signal(text: &str) -> Result<i32, String> {
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=64).contains(&number) {
            Ok(number)
        } else {
            Err("signals count from 1 to 64".to_owned())
        };
    }
    let upper = text.to_ascii_uppercase();
    let name = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    name.parse::<nix::sys::signal::Signal>()
        .map(|signal| signal as i32)
        .map_err(|_| "no such signal; `TERM`, `KILL`, `HUP`, `USR1` … are".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_numbers_or_durations() {
        assert_eq!(seconds("10"), Ok(Duration::from_secs(10)));
        assert_eq!(seconds("1m30s"), Ok(Duration::from_secs(90)));
        assert!(seconds("soon").is_err());
        assert!(seconds("-1").is_err());
    }

    #[test]
    fn signals_have_names_and_numbers() {
        assert_eq!(signal("9"), Ok(9));
        assert_eq!(signal("term"), Ok(15));
        assert_eq!(signal("SIGHUP"), Ok(1));
        assert!(signal("0").is_err());
        assert!(signal("SIGNOPE").is_err());
    }

    #[test]
    fn a_variable_without_value_is_the_callers() {
        assert_eq!(variable("A=b=c"), Ok(("A".to_owned(), Some("b=c".to_owned()))));
        assert_eq!(variable("A"), Ok(("A".to_owned(), None)));
        assert!(variable("=x").is_err());
    }
}
