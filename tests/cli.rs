//! The command line as a user meets it: help, exit codes, errors, what works
//! without root. Real engines are met in the scenarios.

#[path = "cli/logs.rs"]
mod logs;
#[path = "support/records.rs"]
mod records;
#[path = "support/windlass.rs"]
mod windlass;

use std::fmt::Write;

use ::windlass::cli::arguments::Arguments;
use clap::CommandFactory;
use windlass::Stage;

/// The reference of the command line, whole: a changed flag is a changed line here.
#[test]
fn help_of_every_command() {
    let stage = Stage::new().env("COLUMNS", "100");
    let mut reference = stage.run(&["--help"]).stdout;
    for command in Arguments::command().get_subcommands() {
        let name = command.get_name();
        write!(reference, "\n=== {name}\n{}", help(&stage, &[name])).expect("written");
        for nested in command.get_subcommands() {
            let path = [name, nested.get_name()];
            write!(reference, "\n=== {}\n{}", path.join(" "), help(&stage, &path))
                .expect("written");
        }
    }
    insta::assert_snapshot!(reference);
}

/// Help of one command without the global options, which all have.
fn help(stage: &Stage, path: &[&str]) -> String {
    let ran = stage.run(&[path, &["-h"]].concat());
    assert_eq!(ran.code, 0, "{ran}");
    let own = ran.stdout.split("\nGlobal options:").next().unwrap_or_default().trim_end();
    format!("{own}\n")
}

#[test]
fn nothing_asked_is_a_usage_error_that_shows_help() {
    let ran = Stage::new().run(&[]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("Usage: windlass"), "{ran}");
}

#[test]
fn an_unknown_command_is_named_with_what_was_meant() {
    let ran = Stage::new().run(&["doctro"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("'doctro'") && ran.stderr.contains("'doctor'"), "{ran}");
}

#[test]
fn file_after_the_command_is_told_where_it_belongs() {
    let ran = Stage::new().run(&["version", "-f", "x.yaml"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("help: -f and -p stand before the command"), "{ran}");
}

#[test]
fn version_for_people_and_for_programs() {
    let stage = Stage::new();
    assert_eq!(stage.run(&["version", "--short"]).stdout.trim(), env!("CARGO_PKG_VERSION"));
    let json = stage.run(&["version", "--format", "json"]).stdout;
    let value: serde_json::Value = serde_json::from_str(&json).expect("valid JSON");
    assert_eq!(value["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn init_writes_a_file_once() {
    let stage = Stage::new();
    let first = stage.run(&["init"]);
    insta::assert_snapshot!(first);
    let written = std::fs::read_to_string(stage.project().join("windlass.yaml")).expect("written");
    std::fs::write(stage.project().join("windlass.yaml"), "mine").expect("changed");
    insta::assert_snapshot!(stage.run(&["init"]));
    let kept = std::fs::read_to_string(stage.project().join("windlass.yaml")).expect("there");
    assert_eq!(kept, "mine");
    assert!(written.contains("services:"));
}

#[test]
fn init_leaves_a_compose_project_alone() {
    let stage = Stage::new().file("compose.yaml", "services: {}\n");
    let ran = stage.run(&["init"]);
    assert_eq!(ran.code, 5, "{ran}");
    assert!(!stage.project().join("windlass.yaml").exists());
}

#[test]
fn init_where_nothing_can_be_written_says_so() {
    let ran = Stage::new().run(&["init", "no/such/directory"]);
    insta::assert_snapshot!(ran);
}

#[test]
fn completion_knows_the_commands() {
    let stage = Stage::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = stage.run(&["completion", shell]);
        assert_eq!(ran.code, 0, "{ran}");
        assert!(ran.stdout.contains("doctor"), "{shell}");
    }
}

#[test]
fn errors_are_json_where_progress_is() {
    let stage = Stage::new().file("compose.yaml", "services: {}\n");
    let ran = stage.run(&["--progress", "json", "init"]);
    let value: serde_json::Value = serde_json::from_str(&ran.stderr).expect("one JSON object");
    assert_eq!(value["event"], "error");
    assert!(value["help"].as_str().is_some_and(|help| help.contains("windlass plan")), "{ran}");
}

#[test]
fn colours_are_for_those_who_want_them() {
    let stage = || Stage::new().file("compose.yaml", "services: {}\n");
    let is_coloured = |ran: windlass::Ran| ran.stderr.contains('\u{1b}');
    assert!(!is_coloured(stage().run(&["init"])));
    assert!(is_coloured(stage().run(&["--ansi", "always", "init"])));
    assert!(!is_coloured(stage().env("NO_COLOR", "1").run(&["--ansi", "auto", "init"])));
    assert!(!is_coloured(stage().run(&["--ansi", "never", "init"])));
}

#[test]
fn doctor_without_root_says_what_is_missing() {
    let stage = Stage::new().unprivileged();
    let ran = stage.run(&["doctor", "--format", "json"]);
    assert_eq!(ran.code, 4, "{ran}");
    let findings: serde_json::Value = serde_json::from_str(&ran.stdout).expect("valid JSON");
    let all = findings.as_array().expect("a list");
    let engine = all.iter().find(|it| it["subject"] == "embedded engine").expect("looked at");
    assert_eq!(engine["help"], "sudo windlass doctor");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_windlass"))
        .args(["completion", "zsh"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("it runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success());
}

const TWO_ERRORS: &str = "\
services:
  web:
    imagee: nginx
    depends_on:
      - dbb
vms:
  db:
    image: debian:12
    memroy: 1GiB
";

#[test]
fn all_errors_of_a_file_at_once_each_with_its_place() {
    let stage = Stage::new().file("windlass.yaml", TWO_ERRORS);
    insta::assert_snapshot!(stage.run(&["config"]));
}

#[test]
fn no_stack_file_is_said_with_what_writes_one() {
    let stage = Stage::new();
    insta::assert_snapshot!(stage.run(&["config"]));
    insta::assert_snapshot!(stage.run(&["-f", "nope.yaml", "config"]));
}

#[test]
fn the_file_that_init_writes_is_a_stack_file() {
    let stage = Stage::new();
    assert_eq!(stage.run(&["init"]).code, 0);
    let ran = stage.run(&["config", "--services"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "web\n", ""));
}

#[test]
fn config_without_root_and_from_a_directory_below() {
    let stage = Stage::new()
        .file("compose.yaml", "services: { web: { image: \"nginx:${TAG:-1.27}\" } }\n")
        .file("below/x", "")
        .env("TAG", "1.26")
        .unprivileged();
    let ran = stage.run(&["config", "--images"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "nginx:1.26\n"), "{ran}");
}

#[test]
fn the_schema_is_json() {
    let ran = Stage::new().run(&["schema"]);
    let schema: serde_json::Value = serde_json::from_str(&ran.stdout).expect("valid JSON");
    assert!(schema["$defs"]["vm"].is_object());
}
