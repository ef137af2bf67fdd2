//! `since`: a time, or how long ago. Pure.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::stack::health::parse_duration;

/// Reads `2026-11-02T10:00:00Z`, the same without zone or time of day (in
/// `zone`), seconds since the epoch, or a duration before `now`.
pub fn parse(text: &str, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    if let Ok(seconds) = text.parse::<i64>() {
        return Timestamp::from_second(seconds).ok();
    }
    if let Some(ago) = parse_duration(text) {
        return now.checked_sub(SignedDuration::try_from(ago).ok()?).ok();
    }
    let date = text.parse::<DateTime>().or_else(|_| text.parse::<Date>().map(DateTime::from));
    zone.to_timestamp(date.ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_durations() {
        let now: Timestamp = "2026-11-02T12:00:00Z".parse().expect("a time");
        let at = |text: &str| parse(text, now, &TimeZone::UTC).map(|time| time.to_string());
        for (text, time) in [
            ("2026-11-02T10:00:00Z", Some("2026-11-02T10:00:00Z")),
            ("2026-11-02T10:00:00+02:00", Some("2026-11-02T08:00:00Z")),
            ("2026-11-02T10:00:00", Some("2026-11-02T10:00:00Z")),
            ("2026-11-02", Some("2026-11-02T00:00:00Z")),
            ("10m", Some("2026-11-02T11:50:00Z")),
            ("1793620800", Some("2026-11-02T12:00:00Z")),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(at(text).as_deref(), time, "{text}");
        }
    }
}
