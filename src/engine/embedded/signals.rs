//! Signals by name or number, as Compose and images write them.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::error::EmbeddedError;

/// `SIGTERM`, `term`, `15`, `RTMIN+3`.
pub(super) fn parse(text: &str) -> Result<i32, EmbeddedError> {
    let unknown = || EmbeddedError::UnknownSignal { name: text.to_owned() };
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=64).contains(&number) { Ok(number) } else { Err(unknown()) };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    for (base, number) in [("RTMIN", 34), ("RTMAX", 64)] {
        if let Some(offset) = name.strip_prefix(base) {
            let offset: i32 =
                if offset.is_empty() { 0 } else { offset.parse().map_err(|_| unknown())? };
            let number = number + offset;
            return if (34..=64).contains(&number) { Ok(number) } else { Err(unknown()) };
        }
    }
    format!("SIG{name}")
        .parse::<nix::sys::signal::Signal>()
        .map(|s| s as i32)
        .map_err(|_| unknown())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn every_spelling() {
        for (text, number) in
            [("SIGTERM", 15), ("term", 15), ("9", 9), ("SIGRTMIN+3", 37), ("RTMAX-1", 63)]
        {
            assert_eq!(parse(text).expect(text), number);
        }
        assert!(parse("SIGNOTHING").is_err());
        assert!(parse("0").is_err());
    }
}
