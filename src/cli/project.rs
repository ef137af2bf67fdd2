//! The project that a command is about: its files, found and read, and its
//! name. It prints the warnings that reading brings and decides nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::{CommandError, Invocation};
use crate::spec::{self, Disk, Files, Source};
use crate::stack::vm::Accel;
use crate::stack::{self, Read, Stack, StackName};
use crate::watch::interest::Seen;
use crate::world::World;

/// What the files say and what it means: every error of every phase is said at
/// once. Warnings go to the screen.
pub(super) fn read(invocation: &Invocation) -> Result<Read, CommandError> {
    reading(invocation)?.0
}

/// The same, with what was asked of the disk for it, right or wrong.
pub(super) fn reading(
    invocation: &Invocation,
) -> Result<(Result<Read, CommandError>, Seen), CommandError> {
    let files = FilesAndInput::new(&invocation.global.files)?;
    let read = source(invocation, &files).and_then(|source| {
        stack::read(&source, &files).map_err(|failed| CommandError::stack_file(failed, &source))
    });
    if let Ok(read) = &read
        && !read.warnings.is_empty()
    {
        invocation.screen.diagnostics(&read.warnings, &read.sources);
    }
    Ok((read, files.seen.into_inner()))
}

/// What the files mean.
pub(super) fn load(invocation: &Invocation) -> Result<Stack, CommandError> {
    read(invocation).map(|read| read.stack)
}

/// The stack's name. `-p` alone is enough for what is up already: no file is
/// read then.
pub(super) fn name(invocation: &Invocation) -> Result<StackName, CommandError> {
    if let Some(given) = &invocation.global.project_name {
        return valid(given);
    }
    // Only the name is wanted: what the rest of the file lacks is `up`'s to say.
    let files = FilesAndInput::new(&invocation.global.files)?;
    let source = source(invocation, &files)?;
    match spec::read(&source, &files) {
        (Some(spec), ..) => Ok(spec.name),
        (None, diagnostics, sources) => {
            let failed = spec::Failed { diagnostics: diagnostics.tidy(), sources };
            Err(CommandError::stack_file(failed, &source))
        }
    }
}

/// The engines of this host.
pub(super) fn world(invocation: &Invocation) -> Result<World, CommandError> {
    Ok(World::host(&invocation.directories, accelerator()?)?)
}

/// `WINDLASS_ACCEL`: how all VMs are accelerated, whatever their files say.
pub(super) fn accelerator() -> Result<Accel, CommandError> {
    let given = std::env::var("WINDLASS_ACCEL").unwrap_or_default();
    match given.as_str() {
        "" | "auto" => Ok(Accel::Auto),
        "kvm" => Ok(Accel::Kvm),
        "tcg" => Ok(Accel::Tcg),
        _ => Err(CommandError::Usage {
            reason: format!("`WINDLASS_ACCEL` is `{given}`"),
            help: Some("it may be `auto`, `kvm` or `tcg`".into()),
        }),
    }
}

/// The name, and what the files mean where there are any: with `-p`, a stack
/// whose files are gone can still be taken down.
pub(super) fn name_and_stack(
    invocation: &Invocation,
) -> Result<(StackName, Option<Stack>), CommandError> {
    let named = invocation.global.project_name.as_deref();
    match (load(invocation), named) {
        (Ok(stack), _) => Ok((stack.name.clone(), Some(stack))),
        (Err(CommandError::NoStackFile(_)), Some(name)) => Ok((valid(name)?, None)),
        (Err(error), _) => Err(error),
    }
}

fn valid(given: &str) -> Result<StackName, CommandError> {
    StackName::new(given).ok_or_else(|| CommandError::Usage {
        reason: format!("`{given}` is not a name for a stack"),
        help: Some(
            "names have lower-case letters, digits, `-` and `_`, and begin with a letter or digit"
                .to_owned(),
        ),
    })
}

/// Which files, and the world they are read in.
fn source(invocation: &Invocation, files: &dyn Files) -> Result<Source, CommandError> {
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
struct FilesAndInput {
    input: Option<String>,
    /// What was asked so far.
    seen: RefCell<Seen>,
}

impl FilesAndInput {
    /// Reads standard input, if it is one of the files.
    fn new(named: &[PathBuf]) -> Result<Self, CommandError> {
        if !named.iter().any(|file| is_input(file)) {
            return Ok(Self { input: None, seen: RefCell::default() });
        }
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text).map_err(|source| CommandError::File {
            operation: "read",
            path: "-".into(),
            source,
        })?;
        Ok(Self { input: Some(text), seen: RefCell::default() })
    }
}

impl Files for FilesAndInput {
    fn read(&self, path: &Path) -> io::Result<String> {
        self.seen.borrow_mut().read.insert(path.to_owned());
        match &self.input {
            Some(text) if is_input(path) => Ok(text.clone()),
            _ => Disk.read(path),
        }
    }

    fn exists(&self, path: &Path) -> bool {
        self.seen.borrow_mut().asked.insert(path.to_owned());
        (self.input.is_some() && is_input(path)) || Disk.exists(path)
    }
}

fn is_input(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "-")
}
