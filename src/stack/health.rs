//! Healthchecks as the file means them.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeSet;
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
    /// What the file leaves open and has a default here: an image's own check
    /// stands in for it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub defaulted: BTreeSet<Timing>,
}

/// The numbers of a healthcheck that a file may leave open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timing {
    /// [`Healthcheck::interval`]
    Interval,
    /// [`Healthcheck::timeout`]
    Timeout,
    /// [`Healthcheck::retries`]
    Retries,
    /// [`Healthcheck::start_period`]
    StartPeriod,
    /// [`Healthcheck::start_interval`]
    StartInterval,
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
    /// The host opens a connection to this port of the instance.
    Tcp {
        /// Of the instance's own address.
        port: u16,
    },
    /// The host asks the instance for a page.
    Http {
        /// Of the instance's own address.
        port: u16,
        /// With its query, from the `/` on.
        path: String,
        /// The status that is an answer; `None`: any below 400.
        status: Option<u16>,
    },
}

impl Probe {
    /// Whether the host asks over the network, so that an address is needed.
    pub fn needs_an_address(&self) -> bool {
        matches!(self, Self::Tcp { .. } | Self::Http { .. })
    }
}

impl std::fmt::Display for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exec(argv) => write!(f, "{}", argv.join(" ")),
            Self::Shell(line) => write!(f, "{line}"),
            Self::Image => write!(f, "the image's"),
            Self::Disabled => write!(f, "disabled"),
            Self::Tcp { port } => write!(f, "tcp {port}"),
            Self::Http { port, path, status: None } => write!(f, "http {port}{path}"),
            Self::Http { port, path, status: Some(status) } => {
                write!(f, "http {port}{path} is {status}")
            }
        }
    }
}

/// The check that counts, given the file's and the image's own: as in Docker,
/// the image says whatever the file leaves open. `None`: there is no check, and
/// what runs (or is ready) is healthy.
pub fn effective(check: Option<&Healthcheck>, image: Option<&Healthcheck>) -> Option<Healthcheck> {
    let Some(written) = check else {
        return image.filter(|image| image.test != Probe::Disabled).cloned();
    };
    let mut check = Healthcheck { defaulted: BTreeSet::new(), ..written.clone() };
    if let Some(image) = image {
        for timing in &written.defaulted {
            match timing {
                Timing::Interval => check.interval = image.interval,
                Timing::Timeout => check.timeout = image.timeout,
                Timing::Retries => check.retries = image.retries,
                Timing::StartPeriod => check.start_period = image.start_period,
                Timing::StartInterval => check.start_interval = image.start_interval,
            }
        }
        if check.test == Probe::Image {
            check.test = image.test.clone();
        }
    }
    (!matches!(check.test, Probe::Image | Probe::Disabled)).then_some(check)
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
    let part = |number: u64, unit: &str| match number {
        0 => String::new(),
        number => format!("{number}{unit}"),
    };
    let seconds = if nanos > 0 {
        let fraction = format!("{nanos:09}");
        format!("{rest}.{}s", fraction.trim_end_matches('0'))
    } else if rest > 0 || hours + minutes == 0 {
        format!("{rest}s")
    } else {
        String::new()
    };
    part(hours, "h") + &part(minutes, "m") + &seconds
}

/// Compose's durations: a sequence of decimal numbers with a unit each
/// (`ns`, `us`/`µs`, `ms`, `s`, `m`, `h`). `None` if it is not one.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text.is_empty() {
        return None;
    }
    let mut rest = text;
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        total = total.checked_add(nanoseconds(number, unit)?)?;
        rest = after;
    }
    let seconds = u64::try_from(total / 1_000_000_000).ok()?;
    Some(Duration::new(seconds, u32::try_from(total % 1_000_000_000).ok()?))
}

/// `number` (digits with at most one point) of `unit`, in nanoseconds; what is finer is dropped.
fn nanoseconds(number: &str, unit: &str) -> Option<u128> {
    let scale: u128 = match unit {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let fraction = &fraction[..fraction.len().min(12)];
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()?.into() };
    let part: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let divisor = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    Some(whole * scale + part * scale / divisor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(test: Probe, seconds: u64, defaulted: &[Timing]) -> Healthcheck {
        Healthcheck {
            test,
            interval: Duration::from_secs(seconds),
            timeout: Duration::from_secs(seconds),
            retries: 3,
            start_period: Duration::ZERO,
            start_interval: Duration::from_secs(5),
            defaulted: defaulted.iter().copied().collect(),
        }
    }

    #[test]
    fn an_image_says_what_the_file_leaves_open() {
        let image = check(Probe::Shell("of image".into()), 2, &[]);
        let of_file = |test| check(test, 30, &[Timing::Interval]);
        assert_eq!(effective(None, Some(&image)), Some(image.clone()));

        let timed = effective(Some(&of_file(Probe::Image)), Some(&image)).expect("a check");
        assert_eq!(timed.test, image.test);
        assert_eq!((timed.interval.as_secs(), timed.timeout.as_secs()), (2, 30));

        let own = effective(Some(&of_file(Probe::Shell("own".into()))), Some(&image));
        let own = own.expect("a check");
        assert_eq!((own.test, own.interval.as_secs()), (Probe::Shell("own".into()), 2));
    }

    #[test]
    fn what_nobody_checks_has_no_check() {
        let (disabled, image) = (check(Probe::Disabled, 1, &[]), check(Probe::Image, 1, &[]));
        let real = check(Probe::Tcp { port: 1 }, 1, &[]);
        for (file, of_image) in [
            (None, None),
            (None, Some(&disabled)),
            (Some(&image), None),
            (Some(&image), Some(&disabled)),
            (Some(&disabled), Some(&real)),
        ] {
            assert_eq!(effective(file, of_image), None, "{file:?} {of_image:?}");
        }
    }

    #[test]
    fn the_check_that_counts_stays_so_when_it_is_asked_for_again() {
        let image = check(Probe::Shell("of image".into()), 2, &[]);
        let file = check(Probe::Image, 30, &[Timing::Interval, Timing::Retries]);
        let once = effective(Some(&file), Some(&image));
        assert_eq!(effective(once.as_ref(), Some(&image)), once);
    }

    #[test]
    fn durations_come_back_as_they_were_written() {
        for text in ["2s", "1m30s", "1h", "1.5s", "250ms", "10us", "7ns", "0s", "26h3m"] {
            let parsed = parse_duration(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(format_duration(parsed), text);
        }
        assert_eq!(parse_duration("1.5h"), parse_duration("1h30m"));
    }

    #[test]
    fn what_is_not_a_duration_is_none() {
        for text in ["", "5", "s", "1.s.", "1..5s", "-1s", "1d", "1 s", "99999999999999999999h"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
