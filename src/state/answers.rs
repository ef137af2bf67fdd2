//! What was done about dependencies that became unhealthy, on disk: one file for
//! each stack, written under the stack's lock. Whoever supervises next goes on
//! from it. It decides nothing.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{StateError, atomic};
use crate::observed::Answer;

/// Name of the file within the stack's directory.
const FILE: &str = "answers.json";

/// Form of the file.
const VERSION: u32 = 1;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Answers {
    version: u32,
    answers: Vec<Answer>,
}

/// Reads them. Lost or damaged, a dependent that rests stays so until somebody
/// starts it.
pub fn read(stack_directory: &Path) -> Vec<Answer> {
    atomic::read_cache::<Answers>(&stack_directory.join(FILE), VERSION).answers
}

/// Replaces them, durably; without any there is no file.
pub fn write(stack_directory: &Path, answers: &[Answer]) -> Result<(), StateError> {
    let path = stack_directory.join(FILE);
    if answers.is_empty() {
        return atomic::remove(&path);
    }
    atomic::write(&path, &Answers { version: VERSION, answers: answers.to_vec() })
}
