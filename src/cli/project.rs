//! The project that a command is about: its files, found and read, and its
//! name. It prints the warnings that reading brings and decides nothing.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{CommandError, Invocation};
use crate::diagnostic::{Diagnostics, Sources};
use crate::spec::{self, Disk, Files, Source, Spec};
use crate::stack::StackName;

/// What the files say. Warnings go to the screen.
pub(super) fn spec(invocation: &Invocation) -> Result<Spec, CommandError> {
    let files = FilesAndInput::new(&invocation.global.files)?;
    let source = source(invocation, &files)?;
    let (spec, warnings, sources) =
        spec::load(&source, &files).map_err(|failed| CommandError::stack_file(failed, &source))?;
    warn(invocation, &warnings, &sources);
    Ok(spec)
}

/// The stack's name. `-p` alone is enough for what is up already: no file is
/// read then.
pub(super) fn name(invocation: &Invocation) -> Result<StackName, CommandError> {
    let Some(given) = &invocation.global.project_name else { return Ok(spec(invocation)?.name) };
    StackName::new(given).ok_or_else(|| CommandError::Usage {
        reason: format!("`{given}` is not a name for a stack"),
        help: Some(
            "names have lower-case letters, digits, `-` and `_`, and begin with a letter or digit"
                .to_owned(),
        ),
    })
}

/// Shows what is not wrong and yet not as it was meant.
pub(super) fn warn(invocation: &Invocation, warnings: &Diagnostics, sources: &Sources) {
    if !warnings.is_empty() {
        invocation.screen.diagnostics(warnings, sources);
    }
}

/// Which files, and the world they are read in.
pub(super) fn source(invocation: &Invocation, files: &dyn Files) -> Result<Source, CommandError> {
    let global = &invocation.global;
    let here = std::env::current_dir()
        .map_err(|source| CommandError::Setup { what: "the working directory", source })?;
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let mut source = spec::find(&here, &global.files, &environment, files)?;
    if let Some(directory) = &global.project_directory {
        source.project_directory = absolute(&here, directory)?;
    }
    if !global.env_files.is_empty() {
        source.env_files =
            global.env_files.iter().map(|file| absolute(&here, file)).collect::<Result<_, _>>()?;
    }
    source.project_name.clone_from(&global.project_name);
    source.profiles.clone_from(&global.profiles);
    Ok(source)
}

fn absolute(here: &Path, path: &Path) -> Result<PathBuf, CommandError> {
    let path = here.join(path);
    path.canonicalize().map_err(|source| CommandError::File { operation: "open", path, source })
}

/// The disk, and standard input under the name `-`.
pub(super) struct FilesAndInput {
    input: Option<String>,
}

impl FilesAndInput {
    /// Reads standard input, if it is one of the files.
    pub(super) fn new(named: &[PathBuf]) -> Result<Self, CommandError> {
        if !named.iter().any(|file| is_input(file)) {
            return Ok(Self { input: None });
        }
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text).map_err(|source| CommandError::File {
            operation: "read",
            path: "-".into(),
            source,
        })?;
        Ok(Self { input: Some(text) })
    }
}

impl Files for FilesAndInput {
    fn read(&self, path: &Path) -> io::Result<String> {
        match &self.input {
            Some(text) if is_input(path) => Ok(text.clone()),
            _ => Disk.read(path),
        }
    }

    fn exists(&self, path: &Path) -> bool {
        (self.input.is_some() && is_input(path)) || Disk.exists(path)
    }
}

fn is_input(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "-")
}
