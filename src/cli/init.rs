//! `init`: writes a commented stack file to start from. Never overwrites one.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};

use super::arguments::Init;
use super::{CommandError, Exit, Invocation};

/// What a directory is looked through for; the first is what is written.
const FILES: [&str; 6] = [
    "windlass.yaml",
    "windlass.yml",
    "compose.yaml",
    "compose.yml",
    "docker-compose.yaml",
    "docker-compose.yml",
];

const TEMPLATE: &str = include_str!("init/windlass.yaml");

pub(super) fn run(invocation: &Invocation, arguments: &Init) -> Result<Exit, CommandError> {
    // `./windlass.yaml` says no more than `windlass.yaml`.
    let directory = arguments.directory.strip_prefix(".").unwrap_or(&arguments.directory);
    if let Some(found) = FILES.iter().map(|name| directory.join(name)).find(|path| path.exists()) {
        return Err(CommandError::Refused {
            reason: format!("`{}` is here already", found.display()),
            help: Some("Compose files are stack files: `windlass plan` reads it".to_owned()),
        });
    }
    let path = directory.join(FILES[0]);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .and_then(|mut file| file.write_all(TEMPLATE.as_bytes()));
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let reason = format!("`{}` is here already", path.display());
            return Err(CommandError::Refused { reason, help: None });
        }
        Err(source) => return Err(CommandError::File { operation: "write", path, source }),
    }
    invocation
        .screen
        .say(&format!("wrote {}; `windlass plan` shows what it would do", path.display()));
    Ok(Exit::Done)
}
