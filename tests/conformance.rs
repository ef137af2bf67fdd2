//! The Compose conformance corpus: what docker compose makes of a file, ours does too.
//!
//! Read from `WINDLASS_CORPUS`, or `../shared/conformance` where it is there;
//! otherwise this prints that it was skipped. A case that passes today must
//! pass tomorrow: the list in `conformance/passing.txt` only grows.
//!
//! Where ours differs on purpose: a bare number as a key (`123:`) is read as its
//! text, where docker compose refuses it (loader/e6d943c4b8, loader/f9c61b3eff).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use windlass::spec::{self, Disk, Source};

const PASSING: &str = include_str!("conformance/passing.txt");

fn corpus() -> Option<PathBuf> {
    let given = std::env::var_os("WINDLASS_CORPUS").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/conformance");
    let root = given.or_else(|| beside.exists().then_some(beside))?.join("compose");
    // Files are known by their real paths, wherever a link leads here.
    Some(root.canonicalize().expect("the corpus is there"))
}

/// `None`: as docker compose has it. Else: what differs.
fn run(case: &Path) -> Option<String> {
    let files = ["compose.yaml", "override.yaml"].map(|name| case.join(name));
    let source = Source {
        files: files.into_iter().filter(|file| file.exists()).collect(),
        project_directory: case.to_owned(),
        project_name: Some("t".to_owned()),
        profiles: vec!["*".to_owned()],
        env_files: Vec::new(),
        environment: BTreeMap::from([("HOME".to_owned(), "/nonexistent".to_owned())]),
    };
    let started = Instant::now();
    let loaded = spec::load(&source, &Disk);
    if started.elapsed() > Duration::from_secs(5) {
        return Some(format!("took {:?}", started.elapsed()));
    }
    let expected = case.join("expected.json");
    match (loaded, std::fs::read_to_string(expected)) {
        (Ok((spec, ..)), Ok(expected)) => {
            let directory = case.display().to_string();
            let expected: serde_json::Value =
                serde_json::from_str(&expected).expect("corpus is JSON");
            let ours = spec::render::json(&spec).replace(&directory, "${DIR}");
            let ours: serde_json::Value = serde_json::from_str(&ours).expect("ours is JSON");
            (ours != expected).then(|| format!("ours: {ours:#}\nexpected: {expected:#}"))
        }
        (Err(_), Err(_)) => None,
        (Ok(_), Err(_)) => Some("docker compose refuses it, ours does not".to_owned()),
        (Err(failed), Ok(_)) => Some(failed.diagnostics.render(&failed.sources, false)),
    }
}

#[test]
fn cases_that_pass_keep_passing() {
    let Some(root) = corpus() else {
        eprintln!("skipped: no conformance corpus (set WINDLASS_CORPUS)");
        return;
    };
    let mut cases = Vec::new();
    for area in std::fs::read_dir(&root).expect("corpus is readable") {
        let area = area.expect("corpus is readable").path();
        cases.extend(
            std::fs::read_dir(area).expect("corpus is readable").flatten().map(|case| case.path()),
        );
    }
    cases.sort();
    let mut passed = BTreeSet::new();
    let total = cases.len();
    for case in cases {
        let name = case.strip_prefix(&root).expect("below the root").display().to_string();
        match run(&case) {
            None => {
                passed.insert(name);
            }
            Some(difference) if std::env::var_os("CONFORMANCE_VERBOSE").is_some() => {
                eprintln!("=== {name}\n{difference}\n");
            }
            Some(_) => {}
        }
    }
    let expected: BTreeSet<String> = PASSING.lines().map(str::to_owned).collect();
    eprintln!("conformance: {} of {total} cases pass", passed.len());
    let fresh: Vec<_> = passed.difference(&expected).collect();
    for name in fresh {
        eprintln!("passes, not in the list: {name}");
    }
    let lost: Vec<_> = expected.difference(&passed).collect();
    assert!(lost.is_empty(), "these passed before: {lost:#?}");
}
