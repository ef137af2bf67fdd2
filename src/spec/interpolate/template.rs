//! One string with `$NAME` and `${NAME…}` in it. Pure text; total: whatever
//! comes in, something goes out, with a list of what was wrong.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

/// How deep `${A:-${B:-…}}` may nest.
const DEPTH: usize = 32;

/// A text with its variables filled in.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Expansion {
    /// The text.
    pub(crate) text: String,
    /// What was wrong, with start and length of the reference in the original.
    pub(crate) problems: Vec<((usize, usize), Problem)>,
}

/// What can be wrong with a reference.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// Not set, and no default given.
    Unset(String),
    /// `${NAME?message}` without a value.
    Required {
        /// The variable.
        name: String,
        /// What the file's author says about it.
        message: String,
    },
    /// Neither a variable nor `$$`.
    Malformed,
}

/// Fills in every variable of `text`.
pub(crate) fn expand(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Expansion {
    let mut expansion = Expansion::default();
    Walk { whole: text, lookup, out: &mut expansion }.run(text, 0, 0, true);
    expansion
}

struct Walk<'a> {
    whole: &'a str,
    lookup: &'a dyn Fn(&str) -> Option<String>,
    out: &'a mut Expansion,
}

impl Walk<'_> {
    /// Expands `text`, which stands at `offset` of the whole. What is not `live`
    /// (a default that is not needed) reports no unset variables.
    fn run(&mut self, text: &str, offset: usize, depth: usize, live: bool) -> String {
        let mut result = String::with_capacity(text.len());
        let mut at = 0;
        while let Some(found) = text[at..].find('$') {
            result.push_str(&text[at..at + found]);
            at += found;
            let rest = &text[at + 1..];
            let length = if rest.starts_with('$') {
                result.push('$');
                2
            } else if let Some(braced) = rest.strip_prefix('{') {
                match closing(braced) {
                    Some(end) if depth < DEPTH => {
                        let place = (offset + at, end + 3);
                        let inner = &braced[..end];
                        result.push_str(&self.braced(inner, place, depth, live));
                        end + 3
                    }
                    _ => self.malformed(offset + at, text.len() - at),
                }
            } else {
                match name_length(rest) {
                    0 => self.malformed(offset + at, 1),
                    length => {
                        let name = &rest[..length];
                        let value = (self.lookup)(name);
                        result.push_str(&self.or_unset(
                            value,
                            name,
                            (offset + at, length + 1),
                            live,
                        ));
                        length + 1
                    }
                }
            };
            at = (at + length).min(text.len());
        }
        result.push_str(&text[at..]);
        if depth == 0 {
            self.out.text.clone_from(&result);
        }
        result
    }

    /// What stands between the braces.
    fn braced(&mut self, inner: &str, place: (usize, usize), depth: usize, live: bool) -> String {
        let length = name_length(inner);
        let (name, operator) = inner.split_at(length);
        if length == 0 {
            self.malformed(place.0, place.1);
            return String::new();
        }
        let value = (self.lookup)(name);
        let (colon, operator) = match operator.strip_prefix(':') {
            Some(rest) => (true, rest),
            None => (false, operator),
        };
        let usable = value.clone().filter(|value| !(colon && value.is_empty()));
        let argument_at = place.0 + 2 + inner.len() - operator.len() + 1;
        let argument = operator.get(1..).unwrap_or_default();
        match operator.bytes().next() {
            None if !colon => self.or_unset(value, name, place, live),
            Some(b'-') => {
                let default = self.run(argument, argument_at, depth + 1, live && usable.is_none());
                usable.unwrap_or(default)
            }
            Some(b'+') => {
                let replacement =
                    self.run(argument, argument_at, depth + 1, live && usable.is_some());
                usable.map_or_else(String::new, |_| replacement)
            }
            Some(b'?') => {
                let message = self.run(argument, argument_at, depth + 1, live && usable.is_none());
                if usable.is_none() && live {
                    let name = name.to_owned();
                    self.out.problems.push((place, Problem::Required { name, message }));
                }
                usable.unwrap_or_default()
            }
            _ => {
                self.malformed(place.0, place.1);
                String::new()
            }
        }
    }

    fn or_unset(
        &mut self,
        value: Option<String>,
        name: &str,
        place: (usize, usize),
        live: bool,
    ) -> String {
        if value.is_none() && live {
            self.out.problems.push((place, Problem::Unset(name.to_owned())));
        }
        value.unwrap_or_default()
    }

    /// Notes a malformed reference; returns how much of the text it takes.
    fn malformed(&mut self, start: usize, length: usize) -> usize {
        let length = length.min(self.whole.len() - start);
        self.out.problems.push(((start, length), Problem::Malformed));
        length
    }
}

/// Length of the variable name that `text` starts with.
fn name_length(text: &str) -> usize {
    let name = |(at, c): (usize, char)| {
        c == '_' || c.is_ascii_alphabetic() || at > 0 && c.is_ascii_digit()
    };
    text.char_indices().find(|&place| !name(place)).map_or(text.len(), |(at, _)| at)
}

/// Where the brace closes that was opened just before `text`.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    let mut bytes = text.bytes().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'$' if bytes.next_if(|(_, next)| *next == b'{').is_some() => open += 1,
            b'}' if open == 0 => return Some(at),
            b'}' => open -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "SET" => Some("set".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn every_form_of_compose() {
        for (template, expected) in [
            ("$SET/${SET}", "set/set"),
            ("${NONE:-d} ${EMPTY:-d} ${SET:-d}", "d d set"),
            ("${NONE-d} ${EMPTY-d} ${SET-d}", "d  set"),
            ("${NONE:+r} ${EMPTY:+r} ${SET:+r}", "  r"),
            ("${NONE+r} ${EMPTY+r} ${SET+r}", " r r"),
            ("${SET:?e} ${SET?e} ${EMPTY?e}", "set set "),
            ("${NONE:-${EMPTY:-${SET}}}", "set"),
            ("${NONE:-a-${SET}-b}", "a-set-b"),
            ("${NONE:-}", ""),
            ("$$SET $${SET}", "$SET ${SET}"),
            ("${SET:-${NONE}}", "set"),
        ] {
            let expansion = expand(template, &lookup);
            assert_eq!(expansion.text, expected, "{template}");
            assert!(expansion.problems.is_empty(), "{template}: {:?}", expansion.problems);
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let problems = |template| expand(template, &lookup).problems;
        assert_eq!(problems("a $NONE"), [((2, 5), Problem::Unset("NONE".to_owned()))]);
        let required = Problem::Required { name: "EMPTY".to_owned(), message: "why".to_owned() };
        assert_eq!(problems("${EMPTY:?why}"), [((0, 13), required)]);
        for malformed in ["${", "$", "a$ b", "${}", "${SET", "${SET!x}", "$5", "${SET:}"] {
            let problems = problems(malformed);
            assert!(matches!(problems[..], [(_, Problem::Malformed)]), "{malformed}: {problems:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_places_are_within(text in r"[${}:\-+?A-Zé ]{0,40}") {
            for ((start, length), _) in expand(&text, &lookup).problems {
                prop_assert!(text.get(start..start + length).is_some());
            }
        }
    }
}
