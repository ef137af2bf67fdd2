//! What a scalar's text means: Compose's reading, which is YAML 1.2's with the
//! older octal and boolean forms where they can mean nothing else.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

/// How a scalar was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Bare: may be a number, a truth value or null.
    Plain,
    /// Quoted, a block, or made of text by us: a string, whatever it looks like.
    Quoted,
}

/// Text as written, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalar {
    /// The text, escapes resolved.
    pub text: String,
    /// Bare or quoted.
    pub style: Style,
}

/// What a scalar means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Meaning<'a> {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Float(f64),
    /// Text.
    Text(&'a str),
}

impl Scalar {
    /// What it means.
    pub fn meaning(&self) -> Meaning<'_> {
        if self.style == Style::Quoted {
            return Meaning::Text(&self.text);
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Meaning::Null,
            "true" | "True" | "TRUE" => Meaning::Bool(true),
            "false" | "False" | "FALSE" => Meaning::Bool(false),
            text => integer(text)
                .map(Meaning::Integer)
                .or_else(|| float(text).map(Meaning::Float))
                .unwrap_or(Meaning::Text(text)),
        }
    }

    /// Whether it says nothing.
    pub fn is_null(&self) -> bool {
        self.meaning() == Meaning::Null
    }

    /// A truth value, also as the words that YAML 1.1 had, and in quotes.
    pub fn as_bool(&self) -> Option<bool> {
        match self.text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "y" | "1" => Some(true),
            "false" | "no" | "off" | "n" | "0" => Some(false),
            _ => None,
        }
    }

    /// A whole number, also in quotes (Compose takes those wherever it takes numbers).
    pub fn as_integer(&self) -> Option<i64> {
        integer(self.text.trim())
    }

    /// A number, also in quotes.
    pub fn as_number(&self) -> Option<f64> {
        float(self.text.trim())
    }

    /// What it is, in words.
    pub fn description(&self) -> String {
        match self.meaning() {
            Meaning::Null => "nothing".to_owned(),
            Meaning::Bool(_) => format!("the truth value `{}`", self.text),
            Meaning::Integer(_) | Meaning::Float(_) => format!("the number `{}`", self.text),
            Meaning::Text(text) if text.chars().count() <= 40 && !text.contains('\n') => {
                format!("the text `{text}`")
            }
            Meaning::Text(_) => "a text".to_owned(),
        }
    }
}

/// Decimal, `0x`, `0o`, `0b`, a leading zero (octal), `_` between digits.
fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if !digits.as_bytes().first()?.is_ascii_digit() {
        return None;
    }
    let digits = digits.replace('_', "");
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x', ..] => (16, &digits[2..]),
        [b'0', b'o', ..] => (8, &digits[2..]),
        [b'0', b'b', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits.as_str()),
    };
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    let magnitude = i64::from_str_radix(digits, radix).ok()?;
    Some(if negative { -magnitude } else { magnitude })
}

/// A decimal number with or without fraction and exponent.
fn float(text: &str) -> Option<f64> {
    if let Some(integer) = integer(text) {
        #[expect(clippy::cast_precision_loss, reason = "a float was asked for")]
        return Some(integer as f64);
    }
    let numeric =
        text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'));
    let has_digit = text.bytes().any(|byte| byte.is_ascii_digit());
    let starts = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+'));
    (numeric && has_digit && starts).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Scalar {
        Scalar { text: text.to_owned(), style: Style::Plain }
    }

    #[test]
    fn reads_what_compose_reads() {
        assert_eq!(plain("0755").meaning(), Meaning::Integer(0o755));
        assert_eq!(plain("0o17").meaning(), Meaning::Integer(15));
        assert_eq!(plain("1.5").meaning(), Meaning::Float(1.5));
        assert_eq!(plain("08").meaning(), Meaning::Float(8.0));
        assert_eq!(plain("y").meaning(), Meaning::Text("y"));
        assert_eq!(plain("1.2.3").meaning(), Meaning::Text("1.2.3"));
        assert_eq!(plain("-").meaning(), Meaning::Text("-"));
        assert_eq!(plain("e5").meaning(), Meaning::Text("e5"));
        assert_eq!(plain("").meaning(), Meaning::Null);
        let quoted = Scalar { text: "5".to_owned(), style: Style::Quoted };
        assert_eq!(quoted.meaning(), Meaning::Text("5"));
        assert_eq!(quoted.as_integer(), Some(5));
    }
}
