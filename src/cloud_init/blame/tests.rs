//! On what Debian 13's cloud-init 25.1 and Debian 12's 22.4 really wrote.

use std::sync::Arc;

use super::{Verdict, find};
use crate::cloud_init::Failure;
use crate::diagnostic::{Diagnostics, FileId};
use crate::stack::vm::{Document, Inline};
use crate::yaml;

const EVERYTHING: &str = "#cloud-config
users:
  - default
  - name: bob
    shell: /bin/bash
    primary_group: nosuchgroup
timezone: Mars/Base
packages:
  - nano
  - postgresql-99
bootcmd:
  - [ sh, -c, \"echo early\" ]
  - nosuchbootcommand --now
runcmd:
  - echo one
  - [ nosuchcommand, --really ]
";

const TRIXIE_LOG: &str = "\
Cloud-init v. 25.1.4 running 'init-local' at Sat, 28 Nov 2026 18:44:38 +0000. Up 112.20 seconds.
early
/run/cloud-init/tmp/tmpkdue304q.sh: 3: nosuchbootcommand: not found
2026-11-28 18:45:04,221 - log_util.py[WARNING]: Failed to run bootcmd module bootcmd
2026-11-28 18:45:07,138 - log_util.py[WARNING]: Failed to create user bob
Cloud-init v. 25.1.4 running 'init' at Sat, 28 Nov 2026 18:45:18 +0000. Up 152.40 seconds.
Cloud-init v. 25.1.4 running 'modules:final' at Sat, 28 Nov 2026 18:45:33 +0000. Up 167.66 seconds.
Setting up nano (8.4-1+deb13u1) ...
2026-11-28 18:47:34,309 - log_util.py[WARNING]: Failure when attempting to install packages: ['nano', 'postgresql-99']
2026-11-28 18:47:34,444 - cc_package_update_upgrade_install.py[WARNING]: 1 failed with exceptions, re-raising the last one
one
/var/lib/cloud/instance/scripts/runcmd: 3: nosuchcommand: not found
2026-11-28 18:47:35,141 - cc_scripts_user.py[WARNING]: Failed to run module scripts-user (scripts in /var/lib/cloud/instance/scripts)
";

const TRIXIE_ERRORS: [&str; 6] = [
    r#"('bootcmd', ProcessExecutionError("Unexpected error while running command.\nCommand: ['/bin/sh', '/run/cloud-init/tmp/tmpkdue304q.sh']\nExit code: 127\nReason: -\nStdout: -\nStderr: -"))"#,
    r#"('users-groups', ProcessExecutionError("Unexpected error while running command.\nCommand: ['useradd', 'bob', '--gid', 'nosuchgroup', '--shell', '/bin/bash', '-m']\nExit code: 6\nReason: -\nStdout: \nStderr: useradd: group 'nosuchgroup' does not exist"))"#,
    "('timezone', OSError('Invalid timezone Mars/Base, no file found at /usr/share/zoneinfo/Mars/Base'))",
    r#"('package-update-upgrade-install', PackageInstallerError("Failed to install the following packages: {'postgresql-99'}. See associated package manager logs for more details."))"#,
    "('scripts-user', RuntimeError('Runparts: 1 failures (runcmd) in 1 attempted commands'))",
    r#"('ssh-authkey-fingerprints', KeyError("getpwnam(): name not found: 'bob'"))"#,
];

fn document(body: &str) -> Document {
    Document::new("db.yaml", body)
}

fn failed(documents: &[Document], errors: &[&str], log: &str) -> Verdict {
    let errors = errors.iter().map(|error| (*error).to_owned()).collect();
    find(documents, &Failure { errors, log: log.to_owned(), ever_ready: false })
}

/// `FILE:LINE PLACE — WORDS`, a line each.
fn shown(verdict: &Verdict) -> Vec<String> {
    let place = |blame: &super::Blame| {
        let line = blame.text[..blame.range.start].matches('\n').count() + 1;
        let said = blame.said.as_deref().unwrap_or("(nothing)");
        let text = &blame.text[blame.range.clone()];
        format!("{}:{line} {text} — {said}", blame.path.display())
    };
    verdict.places.iter().map(place).collect()
}

#[test]
fn each_error_of_debian_13_has_its_place() {
    let verdict = failed(&[document(EVERYTHING)], &TRIXIE_ERRORS, TRIXIE_LOG);
    assert_eq!(
        shown(&verdict),
        [
            "db.yaml:13 nosuchbootcommand --now — nosuchbootcommand: not found",
            "db.yaml:6 nosuchgroup — useradd: group 'nosuchgroup' does not exist",
            "db.yaml:7 Mars/Base — Invalid timezone Mars/Base, no file found at \
             /usr/share/zoneinfo/Mars/Base",
            "db.yaml:10 postgresql-99 — Failed to install the following packages: \
             {'postgresql-99'}. See associated package manager logs for more details.",
            "db.yaml:16 nosuchcommand — nosuchcommand: not found",
        ]
    );
    // A consequence of another one, about no key of the user's.
    assert_eq!(verdict.elsewhere, &TRIXIE_ERRORS[5..]);
}

#[test]
fn the_package_managers_own_words_are_preferred() {
    let error = r#"('package-update-upgrade-install', ProcessExecutionError("Unexpected error while running command.\nCommand: ['apt-get', '--option=Dpkg::Options::=--force-confold', '--option=Dpkg::options::=--force-unsafe-io', '--assume-yes', '--quiet', 'install', 'nano', 'postgresql-99']\nExit code: 100\nReason: -\nStdout: -\nStderr: -"))"#;
    let log = "Reading state information...\nE: Unable to locate package postgresql-99\n";
    let verdict = failed(&[document(EVERYTHING)], &[error], log);
    assert_eq!(
        shown(&verdict),
        ["db.yaml:10 postgresql-99 — E: Unable to locate package postgresql-99"]
    );
    // Words of an earlier boot are not about this one.
    let log = format!("{log}Cloud-init v. 22.4.2 running 'init-local' at …\nnothing\n");
    let verdict = failed(&[document(EVERYTHING)], &[error], &log);
    assert_eq!(shown(&verdict), ["db.yaml:8 packages — Exit code: 100"]);
}

const RUNCMD: &str =
    "('scripts_user', RuntimeError('Runparts: 1 failures (runcmd) in 1 attempted commands'))";

#[test]
fn a_scripts_exit_code_is_its_last_commands() {
    let log = "/var/lib/cloud/instance/scripts/runcmd: 2: nosuch: not found\n";
    let two = document("#cloud-config\nruncmd:\n  - nosuch\n  - [ 'false' ]\n");
    assert_eq!(shown(&failed(&[two], &[RUNCMD], log)), ["db.yaml:4 'false' — (nothing)"]);
    let strict = document("#cloud-config\nruncmd:\n  - set -e; nosuch\n  - [ 'true' ]\n");
    assert_eq!(
        shown(&failed(&[strict], &[RUNCMD], log)),
        ["db.yaml:3 set -e; nosuch — nosuch: not found"]
    );
    let unsaid = document("#cloud-config\nruncmd:\n  - test -e /x || exit 3\n  - [ 'true' ]\n");
    assert_eq!(shown(&failed(&[unsaid], &[RUNCMD], "")), ["db.yaml:2 runcmd — (nothing)"]);
}

#[test]
fn commands_of_several_lines_and_documents_are_counted() {
    let first = Document::new("a.yaml", "#cloud-config\nruncmd:\n  - |\n    a\n    b\n  - c\n");
    let second = Document::new("b.yaml", "#cloud-config\nruncmd: [ d, [ e, \"f\\ng\" ], h ]\n");
    // 1 #!/bin/sh, 2 a, 3 b, 4 empty, 5 c, 6 d, 7 e f…, 8 …g, 9 h
    let log = "/var/lib/cloud/instance/scripts/runcmd: line 9: h: command not found\n";
    assert_eq!(
        shown(&failed(&[first, second], &[RUNCMD], log)),
        ["b.yaml:2 h — h: command not found"]
    );
}

#[test]
fn a_document_that_is_a_script_is_blamed_by_its_line() {
    let script = Document::new("setup.sh", "#!/bin/sh\n  nosuch\n");
    let log = "/var/lib/cloud/instance/scripts/part-001: 2: nosuch: not found\n";
    let alone = RUNCMD.replace("runcmd", "part-001");
    let verdict = failed(std::slice::from_ref(&script), &[&alone], log);
    assert_eq!(shown(&verdict), ["setup.sh:2 nosuch — nosuch: not found"]);
    let beside = RUNCMD.replace("runcmd", "user-002");
    let log = log.replace("part-001", "user-002");
    let verdict = failed(&[document(EVERYTHING), script], &[&beside], &log);
    assert_eq!(shown(&verdict), ["setup.sh:2 nosuch — nosuch: not found"]);
}

#[test]
fn a_schema_error_is_followed_along_its_path() {
    let body = "#cloud-config\nusers:\n  - name: 5\nruncmd: ls\n";
    let error = "Cloud config schema errors: users.0.name: 5 is not of type 'string'";
    assert_eq!(
        shown(&failed(&[document(body)], &[error], "")),
        ["db.yaml:3 5 — 5 is not of type 'string'"]
    );
    let log = "Invalid cloud-config provided:\nruncmd: 'ls' is not of type 'array'\n";
    assert_eq!(
        shown(&failed(&[document(body)], &["it failed"], log)),
        ["db.yaml:4 runcmd — 'ls' is not of type 'array'"]
    );
}

/// The document at `pick` of a stack file.
fn inline(stack_file: &str, pick: impl Fn(&yaml::Node) -> &yaml::Node) -> Document {
    let root = yaml::parse(FileId::default(), stack_file, &mut Diagnostics::new()).remove(0);
    let node = pick(&root);
    let body = node.as_text().unwrap_or("#cloud-config\n{}\n");
    Document {
        inline: Some(Inline {
            path: "windlass.yaml".into(),
            text: stack_file.into(),
            node: Arc::new(node.clone()),
        }),
        ..Document::new("cloud_init of vm db", body)
    }
}

#[test]
fn what_is_written_in_the_stack_file_is_shown_there() {
    let only = &TRIXIE_ERRORS[3..4];
    let mapping = inline(
        "vms:\n  db:\n    cloud_init:\n      user_data:\n        packages: [ git, postgresql-99 ]\n",
        |root| {
            root.get("vms")
                .unwrap()
                .get("db")
                .unwrap()
                .get("cloud_init")
                .unwrap()
                .get("user_data")
                .unwrap()
        },
    );
    let said = "Failed to install the following packages: {'postgresql-99'}. See associated \
                package manager logs for more details.";
    assert_eq!(
        shown(&failed(&[mapping], only, "")),
        [format!("windlass.yaml:5 postgresql-99 — {said}")]
    );
    let block = "cloud: |\n  #cloud-config\n  packages:\n\n    - git\n    - postgresql-99\n";
    assert_eq!(
        shown(&failed(&[inline(block, |root| root.get("cloud").unwrap())], only, "")),
        [format!("windlass.yaml:6 postgresql-99 — {said}")]
    );
    // What stands there otherwise than the guest reads it has no place.
    let quoted = "cloud: \"#cloud-config\\npackages: [ postgresql-99 ]\\n\"\n";
    let verdict = failed(&[inline(quoted, |root| root.get("cloud").unwrap())], only, "");
    assert_eq!(verdict.places, []);
    assert_eq!(verdict.elsewhere, only);
}

#[test]
fn what_no_document_has_is_not_blamed_on_one() {
    let errors =
        ["cannot mount the disk for /x", "('timezone', OSError('x'))", "cloud-init left no result"];
    let verdict = failed(&[document("#cloud-config\nruncmd: [ ls ]\n")], &errors, TRIXIE_LOG);
    assert_eq!(verdict.places, []);
    assert_eq!(verdict.elsewhere.len(), 3);
}
