//! Sizes and durations as Compose writes them.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

/// `512m`, `2GiB`, `1.5gb`, `1024`: bytes. Units are powers of 1024, as in Compose.
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..digits], text[digits..].trim().to_ascii_lowercase());
    let shift = match unit.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return None,
    };
    let scale = 1_u128 << shift;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    // There is no part of a byte.
    if shift == 0 && !fraction.is_empty() {
        return None;
    }
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') || fraction.len() > 18 {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()?.into() };
    let part: u128 = if fraction.is_empty() { 0 } else { fraction.parse::<u64>().ok()?.into() };
    let divisor = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    u64::try_from(whole * scale + part * scale / divisor).ok()
}

/// A duration with units; a bare number is none, except `0`.
pub fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    crate::stack::health::parse_duration(text)
}

/// Compose's own spelling, which is Go's: `1m0s`, `1h0m0s`, `1.5s`.
pub(super) fn as_compose_writes(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let below_a_minute = Duration::new(seconds % 60, duration.subsec_nanos());
    let rest = crate::stack::health::format_duration(below_a_minute);
    match (seconds / 3600, seconds / 60 % 60) {
        _ if seconds < 60 => rest,
        (hours, minutes) => {
            // Below a second the short units would stand behind minutes.
            let nanos = format!("{:09}", duration.subsec_nanos());
            let rest = match (seconds % 60, nanos.trim_end_matches('0')) {
                (seconds, "") => format!("{seconds}s"),
                (seconds, fraction) => format!("{seconds}.{fraction}s"),
            };
            if hours > 0 {
                format!("{hours}h{minutes}m{rest}")
            } else {
                format!("{minutes}m{rest}")
            }
        }
    }
}

/// Thousandths of a processor in `0.5`, `2`.
pub fn milli(text: &str) -> Option<u64> {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let padded: String = fraction.chars().chain("000".chars()).take(3).collect();
    whole.checked_mul(1000)?.checked_add(padded.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(bytes("512m"), Some(512 << 20));
        assert_eq!(bytes("2GiB"), Some(2 << 30));
        assert_eq!(bytes("1.5 gb"), Some(3 << 29));
        assert_eq!(bytes("1024"), Some(1024));
        assert_eq!(bytes("20GiB"), Some(20 << 30));
        for wrong in ["", "m", "-1", "1x", "1.2.3m", "0.5", "99999999999999999999g", "."] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn durations_as_compose_writes_them() {
        let written = |text| duration(text).map(as_compose_writes).unwrap_or_default();
        for (text, expected) in [
            ("60s", "1m0s"),
            ("90s", "1m30s"),
            ("1h", "1h0m0s"),
            ("1.5s", "1.5s"),
            ("250ms", "250ms"),
            ("1m0.5s", "1m0.5s"),
            ("0", "0s"),
        ] {
            assert_eq!(written(text), expected);
        }
    }

    #[test]
    fn processors() {
        assert_eq!(milli("0.5"), Some(500));
        assert_eq!(milli("2"), Some(2000));
        assert_eq!(milli(".25"), Some(250));
        assert_eq!(milli("x"), None);
    }
}
