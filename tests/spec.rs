//! Stack files and what is made of them: `spec/ok/*.yaml` → the model,
//! `spec/err/*.yaml` → what the user is told. Each file is a test of its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use windlass::spec::{self, Disk, Failed, Files, InMemory, Source};
use windlass::stack::{self, Read};

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/spec")
}

fn source(file: &Path) -> Source {
    Source {
        files: vec![file.to_owned()],
        project_directory: file.parent().expect("a file has a directory").to_owned(),
        project_name: Some("test".to_owned()),
        environment: BTreeMap::from([
            ("HOME".to_owned(), "/home/user".to_owned()),
            ("SET".to_owned(), "value".to_owned()),
            ("COMPOSE_PROFILES".to_owned(), "chosen".to_owned()),
        ]),
        ..Source::default()
    }
}

fn yaml_files(directory: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(here().join(directory))
        .expect("the directory of cases is there")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// One snapshot per file, the checkout's own path taken out.
fn snapshot(directory: &str, file: &Path, text: &str) {
    let text = text.replace(&here().join(directory).display().to_string(), "${DIR}");
    let name = file.file_stem().expect("a file has a name").to_string_lossy().into_owned();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(here().join(directory));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn good_files_mean_what_they_say() {
    for file in yaml_files("ok") {
        let read = stack::read(&source(&file), &Disk).unwrap_or_else(|failed| {
            panic!("{}:\n{}", file.display(), failed.diagnostics.render(&failed.sources, false))
        });
        let mut text = read.warnings.render(&read.sources, false);
        write!(text, "\n{:#?}\n", read.stack).expect("text takes text");
        snapshot("ok", &file, &text);
    }
}

#[test]
fn bad_files_are_explained() {
    for file in yaml_files("err") {
        let started = Instant::now();
        let Err(failed) = stack::read(&source(&file), &Disk) else {
            panic!("{} is accepted", file.display())
        };
        let took = started.elapsed();
        assert!(took < Duration::from_secs(5), "{} took {took:?}", file.display());
        assert!(failed.diagnostics.has_errors());
        let name = file.file_name().expect("a file has a name").to_string_lossy().into_owned();
        let rendered = failed.diagnostics.render(&failed.sources, false);
        let text = format!("{rendered}\n\n{}", failed.diagnostics.summary(&name));
        snapshot("err", &file, &text);
    }
}

#[test]
fn the_schemas_are_those_that_are_checked_in() {
    for (name, generated) in [
        ("stack", windlass::schema::json_schema()),
        ("gitops", windlass::schema::gitops_json_schema()),
    ] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = root.join(format!("schemas/{name}.schema.json"));
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(&path, &generated).expect("the schema can be written");
        }
        let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
        let how = "run `UPDATE_SCHEMA=1 cargo test --test spec` and commit";
        assert!(generated == checked_in, "{name}: {how}");
    }
}

/// Reads files that are in memory, `windlass.yaml` first.
fn read(files: &[(&str, &str)], change: impl FnOnce(&mut Source)) -> Result<Read, Failed> {
    let files: InMemory =
        files.iter().map(|(name, text)| (format!("/project/{name}"), *text)).collect();
    let mut source = source(Path::new("/project/windlass.yaml"));
    source.project_name = None;
    change(&mut source);
    stack::read(&source, &files)
}

fn rendered(result: Result<Read, Failed>) -> String {
    match result {
        Ok(read) => read.warnings.render(&read.sources, false),
        Err(failed) => failed.diagnostics.render(&failed.sources, false),
    }
}

#[test]
fn later_files_override_earlier_ones() {
    let files = [
        (
            "windlass.yaml",
            "services: { web: { image: a, command: [one], environment: { A: 1, B: 2 }, ports: ['80:80'], labels: [x=y] } }",
        ),
        (
            "over.yaml",
            "services: { web: { image: b, command: two, environment: [B=3], ports: !override ['81:80'], labels: !reset null } }",
        ),
    ];
    let read = read(&files, |source| source.files.push("/project/over.yaml".into())).expect("fine");
    let web = &read.stack.workloads["web"];
    assert_eq!(web.image.to_string(), "b");
    assert_eq!(
        web.environment,
        BTreeMap::from([("A".into(), "1".into()), ("B".into(), "3".into())])
    );
    assert_eq!(web.ports.iter().filter_map(|port| port.published).collect::<Vec<_>>(), [81]);
    assert!(web.labels.is_empty());
}

#[test]
fn variables_come_from_the_environment_then_env_files() {
    let files = [
        (
            "windlass.yaml",
            "services: { web: { image: '${IMAGE}:${TAG}', env_file: w.env, environment: { B: own, SET: } } }",
        ),
        (".env", "IMAGE=nginx\nTAG=${SET}-1\nSET=not-this"),
        ("w.env", "A=${TAG}\nB=file\n"),
    ];
    let read = read(&files, |_| {}).unwrap_or_else(|failed| panic!("{}", rendered(Err(failed))));
    let web = &read.stack.workloads["web"];
    assert_eq!(web.image.to_string(), "nginx:value-1");
    let pairs: Vec<_> = web.environment.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(pairs, ["A=value-1", "B=own", "SET=value"]);
}

#[test]
fn user_data_is_never_interpolated_and_meta_data_is() {
    let body = "#cloud-config\nruncmd: [ \"echo $HOME ${NOT_SET:?}\" ]\n";
    let files = [
        (
            "windlass.yaml",
            "vms: { db: { image: 'debian:12', cloud_init: { user_data: [ ./db.yaml, base, { runcmd: [ 'echo $HOME' ] } ], meta_data: { who: \"${SET}\" } } } }\ncloud_init: { base: { bootcmd: [ 'x=$Y' ] } }",
        ),
        ("db.yaml", body),
    ];
    let read = read(&files, |_| {}).unwrap_or_else(|failed| panic!("{}", rendered(Err(failed))));
    let stack::Role::Vm(vm) = &read.stack.workloads["db"].role else { panic!("db is a VM") };
    let cloud_init = vm.cloud_init.as_ref().expect("it has cloud-init");
    assert_eq!(cloud_init.user_data[0].body, body);
    assert!(cloud_init.user_data[1].body.contains("x=$Y"));
    assert!(cloud_init.user_data[2].body.contains("echo $HOME"));
    assert_eq!(cloud_init.meta_data["who"], "value");
}

#[test]
fn projects_are_named_as_compose_does() {
    let plain = [("windlass.yaml", "services: { a: { image: a } }")];
    let named = [("windlass.yaml", "name: My Shop\nservices: { a: { image: a } }")];
    let name = |result: Result<Read, Failed>| result.map(|read| read.stack.name.to_string()).ok();
    assert_eq!(name(read(&plain, |_| {})), Some("project".into()));
    assert_eq!(name(read(&named, |_| {})), Some("myshop".into()));
    let variable = ("COMPOSE_PROJECT_NAME".to_owned(), "env".to_owned());
    assert_eq!(
        name(read(&named, |source| source.environment.extend([variable]))),
        Some("env".into())
    );
    assert_eq!(
        name(read(&named, |source| source.project_name = Some("p".into()))),
        Some("p".into())
    );
    assert!(read(&plain, |source| source.project_name = Some("Not OK".into())).is_err());
}

#[test]
fn extends_and_include_reach_other_files() {
    let files = [
        (
            "windlass.yaml",
            "include: [ sub/compose.yaml ]\nservices: { web: { extends: { file: sub/base.yaml, service: base }, environment: { B: 2 } }, cache: { labels: { on: top } } }",
        ),
        (
            "sub/base.yaml",
            "services: { base: { extends: root, volumes: [ './data:/data' ] }, root: { image: nginx, environment: { A: 1 } } }",
        ),
        ("sub/compose.yaml", "services: { cache: { image: 'redis:${TAG}' } }"),
        ("sub/.env", "TAG=7"),
    ];
    let read = read(&files, |_| {}).unwrap_or_else(|failed| panic!("{}", rendered(Err(failed))));
    let web = &read.stack.workloads["web"];
    assert_eq!(web.image.to_string(), "nginx");
    assert_eq!(web.environment.len(), 2);
    let bind = stack::MountSource::Bind { path: "/project/sub/data".into(), create: true };
    assert_eq!(web.mounts[0].source, bind);
    let cache = &read.stack.workloads["cache"];
    assert_eq!(cache.image.to_string(), "redis:7");
    assert_eq!(cache.labels["on"], "top");
}

#[test]
fn documents_of_one_file_are_merged_in_order() {
    let text =
        "services: { web: { image: a, labels: { x: y } } }\n---\nservices: { web: { image: b } }\n";
    let read = read(&[("windlass.yaml", text)], |_| {}).expect("fine");
    let web = &read.stack.workloads["web"];
    assert_eq!((web.image.to_string(), web.labels.len()), ("b".to_owned(), 1));
}

#[test]
fn merge_keys_and_anchors_are_resolved() {
    let text = "x-a: &a { image: a, hostname: h }\nx-b: &b { image: b, user: u }\nservices: { web: { <<: [ *a, *b ], hostname: own } }\n";
    let read = read(&[("windlass.yaml", text)], |_| {}).expect("fine");
    let web = &read.stack.workloads["web"];
    assert_eq!(web.image.to_string(), "a");
    assert_eq!(web.hostname.as_deref(), Some("own"));
    let stack::Role::Container(container) = &web.role else { panic!("web is a container") };
    assert_eq!(container.user.as_deref(), Some("u"));
}

#[test]
fn variables_become_numbers_and_truth_values_where_those_are_meant() {
    let text = "services: { web: { image: a, tty: '${YES}', cpus: '${HALF}', deploy: { replicas: '${TWO}' } } }";
    let result = read(&[("windlass.yaml", text), (".env", "YES=true\nHALF=0.5\nTWO=2")], |_| {});
    let read = result.unwrap_or_else(|failed| panic!("{}", rendered(Err(failed))));
    let web = &read.stack.workloads["web"];
    let stack::Role::Container(container) = &web.role else { panic!("web is a container") };
    assert_eq!((container.tty, container.milli_cpus, web.replicas), (true, Some(500), 2));
    assert_eq!(spec::render::value(&read.spec)["services"]["web"]["tty"], true);
}

#[test]
fn a_volume_without_a_name_is_never_a_declared_one() {
    let text = "services: { a: { image: a, volumes: [ /x ] }, b: { image: b, volumes: [ 'a-x:/y' ] } }\nvolumes: { a-x: }";
    let read = read(&[("windlass.yaml", text)], |_| {}).expect("fine");
    assert_eq!(read.stack.volumes.into_keys().collect::<Vec<_>>(), ["a-x", "a-x-unnamed"]);
}

#[test]
fn one_key_that_is_not_carried_out_is_one_warning() {
    let text = "services: { a: { image: a, gpus: all }, b: { image: b, gpus: all } }";
    let text = rendered(read(&[("windlass.yaml", text)], |_| {}));
    assert!(text.contains("`gpus` is not carried out yet, and ignored"), "{text}");
    assert!(text.contains("and in 1 more place"), "{text}");
    assert_eq!(text.matches("warning").count(), 1, "{text}");
}

#[test]
fn colour_is_asked_for() {
    let Err(failed) = read(&[("windlass.yaml", "services: { a: { imagee: a } }")], |_| {}) else {
        panic!("it is wrong")
    };
    let render = |colour| failed.diagnostics.render(&failed.sources, colour);
    assert!(render(true).contains('\u{1b}') && !render(false).contains('\u{1b}'));
}

#[test]
fn circles_of_files_end() {
    let extends = [("windlass.yaml", "services: { a: { extends: b }, b: { extends: a } }")];
    assert!(rendered(read(&extends, |_| {})).contains("these extend each other: a → b → a"));
    let include = [("windlass.yaml", "include: [ windlass.yaml ]\nservices: { a: { image: a } }")];
    assert!(rendered(read(&include, |_| {})).contains("includes itself"));
}

#[test]
fn profiles_switch_workloads_on() {
    let files =
        [("windlass.yaml", "services: { a: { image: a }, b: { image: b, profiles: [ debug ] } }")];
    let names = |profiles: &[&str]| -> Vec<String> {
        let profiles = profiles.iter().map(|profile| (*profile).to_owned()).collect();
        let read = read(&files, |source| source.profiles = profiles).expect("fine");
        read.stack.workloads.into_keys().collect()
    };
    assert_eq!(names(&[]), ["a"]);
    assert_eq!(names(&["debug"]), ["a", "b"]);
    assert_eq!(names(&["*"]), ["a", "b"]);
}

#[test]
fn a_thousand_services_are_read_at_once_and_warn_once() {
    let mut text = String::from("services:\n");
    for number in 0..1000 {
        let before = if number == 0 {
            String::new()
        } else {
            format!("    depends_on: [ s{} ]\n", number - 1)
        };
        write!(text, "  s{number}:\n    image: nginx\n    restart: always\n    init: true\n    environment: {{ A: '${{SET}}' }}\n    ports: [ '{}:80' ]\n{before}", 10_000 + number)
            .expect("text takes text");
    }
    let started = Instant::now();
    let read = read(&[("windlass.yaml", &text)], |_| {}).expect("fine");
    let took = started.elapsed();
    assert_eq!(read.stack.workloads.len(), 1000);
    assert_eq!(read.warnings.iter().count(), 1, "{}", read.warnings.render(&read.sources, false));
    // Generous: a debug build on a busy machine. Quadratic work would take minutes.
    assert!(took < Duration::from_secs(10), "{took:?}");
    let started = Instant::now();
    let yaml = spec::render::yaml(&read.spec);
    eprintln!("1,000 services: read in {took:?}, written in {:?}", started.elapsed());
    assert!(yaml.contains("s999:"));
}

#[test]
fn huge_and_deep_files_end_at_once() {
    let deep = format!("services: {}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(rendered(read(&[("windlass.yaml", &deep)], |_| {})).contains("nested"));
    let mut blocks = String::new();
    for depth in 0..2_000 {
        writeln!(blocks, "{}a:", " ".repeat(depth)).expect("text takes text");
    }
    assert!(rendered(read(&[("windlass.yaml", &blocks)], |_| {})).contains("nested"));
    let huge = format!("x-a: '{}'\n", "a".repeat(17 << 20));
    assert!(rendered(read(&[("windlass.yaml", &huge)], |_| {})).contains("larger than 16 MiB"));
}

#[test]
fn the_rendered_spec_is_a_stack_file_that_means_the_same() {
    for file in yaml_files("ok") {
        let first = stack::read(&source(&file), &Disk).expect("it is a good file");
        let again = here().join("ok/again.yaml");
        let text = spec::render::yaml(&first.spec);
        let files = Overlay { path: again.clone(), text };
        let second = stack::read(&source(&again), &files).unwrap_or_else(|failed| {
            panic!("{}:\n{}", file.display(), failed.diagnostics.render(&failed.sources, false))
        });
        let files = second.stack.files.len();
        assert_eq!(files, 1);
        let second = stack::Stack { files: first.stack.files.clone(), ..second.stack };
        assert_eq!(second.workloads, first.stack.workloads, "{}", file.display());
        assert_eq!(second.networks, first.stack.networks);
        assert_eq!(second.volumes, first.stack.volumes);
    }
}

/// The disk with one file on top.
struct Overlay {
    path: PathBuf,
    text: String,
}

impl Files for Overlay {
    fn read(&self, path: &Path) -> std::io::Result<String> {
        if path == self.path { Ok(self.text.clone()) } else { Disk.read(path) }
    }

    fn exists(&self, path: &Path) -> bool {
        path == self.path || Disk.exists(path)
    }
}

proptest::proptest! {
    #[test]
    fn measures_never_panic(text in "[0-9.a-zA-Zµ -]{0,24}") {
        let _ = (spec::bytes(&text), spec::milli(&text));
        if let Some(duration) = spec::duration(&text) {
            let written = stack::health::format_duration(duration);
            proptest::prop_assert_eq!(spec::duration(&written), Some(duration));
        }
    }

    #[test]
    fn no_env_file_makes_reading_panic(text in r#"(A|B|=|:|"|'|\$|\{|\}|\\|#|é| |\n|export ){0,30}"#) {
        let yaml = "services: { a: { image: a, env_file: x.env } }";
        let _ = rendered(read(&[("windlass.yaml", yaml), ("x.env", &text), (".env", &text)], |_| {}));
    }

    #[test]
    fn no_value_makes_resolving_panic(value in r"[0-9a-z:/.=,~${}\[\]é -]{0,16}", key in 0_usize..12) {
        const KEYS: [&str; 12] = ["ports", "volumes", "tmpfs", "extra_hosts", "command", "restart",
            "mem_limit", "cpus", "environment", "networks", "secrets", "depends_on"];
        let name = KEYS[key];
        let quoted = value.replace('\'', "");
        let list = format!("services: {{ a: {{ image: a, {name}: [ '{quoted}' ] }} }}");
        let plain = format!("services: {{ a: {{ image: a, {name}: '{quoted}' }} }}");
        let _ = rendered(read(&[("windlass.yaml", &list)], |_| {}));
        let _ = rendered(read(&[("windlass.yaml", &plain)], |_| {}));
    }

    #[test]
    fn no_text_makes_reading_panic(text in r"(services|vms|a|x-|image|ports|\$|\{|\}|\[|\]|: |- |\n| {1,4}|&a|\*a|<<|!reset|'|80|:){0,40}") {
        let _ = rendered(read(&[("windlass.yaml", &text)], |_| {}));
    }
}
