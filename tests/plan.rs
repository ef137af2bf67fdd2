//! One file, one plan: `plan/*.yaml` says what was brought up, what happened
//! since, and what the file says now; its `.snap` holds the plan's text and
//! steps. A case's name is the sentence that it shows.

#[path = "plan/case.rs"]
mod case;

use std::path::{Path, PathBuf};

use case::Case;

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plan")
}

#[test]
fn plans_read_as_written_down() {
    let mut files: Vec<PathBuf> = std::fs::read_dir(here())
        .expect("the directory of cases is there")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    assert!(files.len() >= 25, "cases are missing");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(here());
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for file in files {
        let name = file.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).expect("it can be read");
        let case: Case = serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        let shown = case.show();
        settings.bind(|| insta::assert_snapshot!(name, shown));
    }
}
