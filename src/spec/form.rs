//! The words in which the key tables are written: what a value may look like.
//!
//! One table per Compose concern stands in [`super::keys`]; the checker and
//! the JSON schema both read it, so that neither can know a key the other
//! does not.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

/// What a value may look like.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    /// Anything: not looked into.
    Any,
    /// A string.
    Text,
    /// A string, number, truth value or nothing, taken as text.
    Scalar,
    /// A truth value.
    Bool,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// A size: `512m`, `2GiB`, a number of bytes.
    Bytes,
    /// A duration: `1m30s`.
    Duration,
    /// One of these words.
    Words(&'static [&'static str]),
    /// A list of such values.
    List(&'static Form),
    /// A mapping from names of the user's choice.
    Map(&'static Form),
    /// A mapping with keys of ours.
    Object(&'static Object),
    /// Any of these; they differ in being a scalar, a list or a mapping.
    Either(&'static [Form]),
}

/// A mapping whose keys are known.
#[derive(Debug)]
pub(crate) struct Object {
    /// Its keys.
    pub(crate) keys: &'static [Key],
    /// Keys without which it makes no sense.
    pub(crate) required: &'static [&'static str],
}

/// One key of an [`Object`].
#[derive(Debug)]
pub(crate) struct Key {
    /// As written in the file.
    pub(crate) name: &'static str,
    /// What its value may look like.
    pub(crate) form: Form,
    /// What Windlass does with it.
    pub(crate) state: State,
}

/// What Windlass does with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// What it says.
    Carried,
    /// Nothing yet, and says so.
    Later,
    /// Nothing, as Compose does: it has no meaning any more.
    Obsolete,
}

/// A key that is carried out.
pub(crate) const fn key(name: &'static str, form: Form) -> Key {
    Key { name, form, state: State::Carried }
}

/// A key that is Compose's but not carried out yet.
pub(crate) const fn later(name: &'static str, form: Form) -> Key {
    Key { name, form, state: State::Later }
}

impl Object {
    /// The key called `name`.
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The names of all keys.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().map(|key| key.name)
    }
}

impl Form {
    /// What is expected, with an example: for "expected …, found …".
    pub(crate) fn expectation(&self) -> String {
        match self {
            Self::Any => "anything".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Scalar => "text, a number or a truth value".to_owned(),
            Self::Bool => "`true` or `false`".to_owned(),
            Self::Integer => "a whole number, like `2`".to_owned(),
            Self::Number => "a number, like `1.5`".to_owned(),
            Self::Bytes => "a size, like `512MiB`".to_owned(),
            Self::Duration => "a duration, like `1m30s`".to_owned(),
            Self::Words(words) => {
                let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
                format!("one of {}", quoted.join(", "))
            }
            Self::List(_) => "a list, like `[a, b]`".to_owned(),
            Self::Map(_) => "a mapping, like `name: value`".to_owned(),
            Self::Object(object) => {
                let names: Vec<_> = object.names().take(3).collect();
                format!("a mapping with keys like `{}`", names.join("`, `"))
            }
            Self::Either(forms) => {
                let all: Vec<_> = forms.iter().map(Self::expectation).collect();
                all.join(", or ")
            }
        }
    }
}
