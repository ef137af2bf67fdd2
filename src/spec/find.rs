//! Which files make the stack: `-f`, `COMPOSE_FILE`, or the names that are
//! looked for in each directory and then upwards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Files, Source, path};

/// Ours first, then Compose's in Compose's order.
const NAMES: &[&str] = &[
    "windlass.yaml",
    "windlass.yml",
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
];

/// No stack file is there.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// None of the names, here or above.
    #[error("no stack file in `{}` or above it", .0.display())]
    Anywhere(PathBuf),
    /// A file that was named is not there.
    #[error("there is no file `{}`", .0.display())]
    Named(PathBuf),
}

impl NotFound {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::Anywhere(_) => {
                "`windlass init` writes a `windlass.yaml`; `-f FILE` names another file".to_owned()
            }
            Self::Named(_) => "check the path given with `-f` (or `COMPOSE_FILE`)".to_owned(),
        }
    }
}

/// Finds the files from `directory`; `named` are those given with `-f`.
///
/// `COMPOSE_FILE`, `COMPOSE_PATH_SEPARATOR` and `COMPOSE_ENV_FILES` of
/// `environment` are honoured. The caller fills in names and profiles.
pub fn find(
    directory: &Path,
    named: &[PathBuf],
    environment: &BTreeMap<String, String>,
    files: &dyn Files,
) -> Result<Source, NotFound> {
    let list = |variable: &str, separator: &str| -> Vec<PathBuf> {
        let value = environment.get(variable).map_or("", String::as_str);
        value.split(separator).filter(|part| !part.is_empty()).map(PathBuf::from).collect()
    };
    let separator = environment.get("COMPOSE_PATH_SEPARATOR").map_or(":", String::as_str);
    let named = if named.is_empty() { list("COMPOSE_FILE", separator) } else { named.to_vec() };
    let absolute = |file: &PathBuf| path::clean(&directory.join(file));
    let found = if named.is_empty() {
        search(directory, files).ok_or_else(|| NotFound::Anywhere(directory.to_owned()))?
    } else {
        named.iter().map(absolute).collect()
    };
    if let Some(missing) = found.iter().find(|file| !files.exists(file)) {
        return Err(NotFound::Named(missing.clone()));
    }
    let first = found.first().and_then(|file| file.parent()).unwrap_or(directory);
    Ok(Source {
        project_directory: first.to_owned(),
        env_files: list("COMPOSE_ENV_FILES", ",").iter().map(absolute).collect(),
        environment: environment.clone(),
        files: found,
        ..Source::default()
    })
}

/// The first name in `directory` or above it, with its override file.
fn search(directory: &Path, files: &dyn Files) -> Option<Vec<PathBuf>> {
    directory.ancestors().find_map(|directory| {
        let name = NAMES.iter().find(|name| files.exists(&directory.join(name)))?;
        let (stem, _) = name.rsplit_once('.')?;
        let overriding = ["yml", "yaml"]
            .map(|extension| directory.join(format!("{stem}.override.{extension}")))
            .into_iter()
            .find(|file| files.exists(file));
        Some(std::iter::once(directory.join(name)).chain(overriding).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::InMemory;

    fn names(
        files: &[&str],
        directory: &str,
        environment: &[(&str, &str)],
    ) -> Result<Vec<String>, NotFound> {
        let files: InMemory = files.iter().map(|file| (*file, "")).collect();
        let environment =
            environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let source = find(Path::new(directory), &[], &environment, &files)?;
        Ok(source.files.iter().map(|file| file.display().to_string()).collect())
    }

    #[test]
    fn ours_before_composes_and_upwards() {
        let found = |files, directory| names(files, directory, &[]);
        assert_eq!(
            found(&["/a/compose.yaml", "/a/windlass.yml"], "/a"),
            Ok(vec!["/a/windlass.yml".into()])
        );
        assert_eq!(
            found(&["/a/compose.yaml", "/a/compose.override.yaml"], "/a/b/c"),
            Ok(vec!["/a/compose.yaml".into(), "/a/compose.override.yaml".into()])
        );
        assert_eq!(found(&["/x"], "/a"), Err(NotFound::Anywhere("/a".into())));
    }

    #[test]
    fn compose_file_names_several() {
        let found = names(&["/a/x.yaml", "/b.yaml"], "/a", &[("COMPOSE_FILE", "x.yaml:../b.yaml")]);
        assert_eq!(found, Ok(vec!["/a/x.yaml".into(), "/b.yaml".into()]));
        let missing = names(&["/a/x.yaml"], "/a", &[("COMPOSE_FILE", "y.yaml")]);
        assert_eq!(missing, Err(NotFound::Named("/a/y.yaml".into())));
    }
}
