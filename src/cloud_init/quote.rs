//! Quoting for the guest's POSIX shell.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

/// `text` as one word of a shell line, whatever is in it.
pub fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn words_stay_words() {
        assert_eq!(quote("a-b/c"), "a-b/c");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("$HOME `x`\n"), "'$HOME `x`\n'");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote("~root"), "'~root'");
    }
}
