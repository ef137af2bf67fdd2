//! A command line → its words, as a shell splits: quotes and backslashes, no
//! expansion.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

/// The words of `line`; `None` where a quote is never closed.
pub(super) fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => match chars.next()? {
                            c @ ('"' | '\\' | '$' | '`') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next()?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn splits_as_a_shell_does() {
        let split = |line| words(line).unwrap_or_default();
        assert_eq!(
            split(r#"sh -c "a 'b' \"c\"" d\ e ''"#),
            ["sh", "-c", r#"a 'b' "c""#, "d e", ""]
        );
        assert_eq!(split("  "), Vec::<String>::new());
        assert_eq!(words("a 'b"), None);
    }
}
