//! An error and what caused it, as words. It knows no error's type.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::error::Error;

/// The messages of an error and its causes, outermost first, each once: a cause
/// whose words its parent has said already is left out.
pub fn chain(error: &dyn Error) -> Vec<String> {
    let mut said: Vec<String> = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !said.iter().any(|earlier| earlier.contains(&text)) {
            said.push(text);
        }
        cause = error.source();
    }
    said
}
