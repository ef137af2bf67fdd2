//! The shell line that runs a command in a guest as it was asked for: with the
//! workload's variables, as somebody, somewhere. Text only.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use crate::cloud_init::quote;
use crate::engine::ExecCommand;

/// Has the shell know the workload's variables.
const ENVIRONMENT: &str =
    "set -a; [ -r /run/windlass/environment ] && . /run/windlass/environment; set +a; ";

/// Whom we are on the ssh connection, and what is run there; `None`: a login shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// The login.
    pub user: String,
    /// A line for a POSIX shell.
    pub line: Option<String>,
}

/// How `command` is run in a guest whose default user is `default_user`.
pub fn remote(command: &ExecCommand, default_user: &str) -> Remote {
    let plain_shell =
        command.argv.is_empty() && command.environment.is_empty() && command.working_dir.is_none();
    match &command.user {
        None if plain_shell => Remote { user: default_user.to_owned(), line: None },
        Some(user) if plain_shell && (user == default_user || user == "root") => {
            Remote { user: user.clone(), line: None }
        }
        None if command.argv.is_empty() => {
            Remote { user: default_user.to_owned(), line: Some(line(command, None)) }
        }
        user => Remote { user: "root".to_owned(), line: Some(line(command, user.as_deref())) },
    }
}

fn line(command: &ExecCommand, user: Option<&str>) -> String {
    let user = user.filter(|user| *user != "root" && *user != "0").map(User::parse);
    if let (Some(User::Named { name, .. }), true) = (&user, command.argv.is_empty()) {
        return format!("exec runuser -l {name}");
    }
    let mut line = String::from(ENVIRONMENT);
    if let Some(directory) = &command.working_dir {
        line.push_str(&format!("cd -- {} || exit 126; ", quote(directory)));
    }
    line.push_str("exec ");
    line.push_str(&user.map(|user| user.prefix()).unwrap_or_default());
    if !command.environment.is_empty() {
        line.push_str("env ");
        for (name, value) in &command.environment {
            line.push_str(&quote(&format!("{name}={value}")));
            line.push(' ');
        }
    }
    if command.argv.is_empty() {
        line.push_str("\"${SHELL:-/bin/sh}\" -l");
    } else {
        let words: Vec<String> = command.argv.iter().map(|word| quote(word)).collect();
        line.push_str(&words.join(" "));
    }
    line
}

/// `user[:group]`, names or numbers; every word quoted.
enum User {
    Named { name: String, group: Option<String> },
    Numbered { uid: String, gid: String },
}

impl User {
    fn parse(text: &str) -> Self {
        let (user, group) = text.split_once(':').map_or((text, None), |(u, g)| (u, Some(g)));
        let group = group.map(quote);
        if user.bytes().all(|byte| byte.is_ascii_digit()) {
            let gid = group.unwrap_or_else(|| user.to_owned());
            Self::Numbered { uid: user.to_owned(), gid }
        } else {
            Self::Named { name: quote(user), group }
        }
    }

    /// What becomes this user and runs the words after it.
    fn prefix(&self) -> String {
        match self {
            Self::Numbered { uid, gid } => {
                format!("setpriv --reuid={uid} --regid={gid} --clear-groups -- ")
            }
            Self::Named { name, group } => {
                let group = group.as_ref().map(|group| format!(" -g {group}")).unwrap_or_default();
                format!(
                    "env HOME=\"$(getent passwd {name} | cut -d: -f6)\" USER={name} \
                     LOGNAME={name} runuser -u {name}{group} -- "
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ENVIRONMENT as SOURCE, Remote, remote};
    use crate::engine::ExecCommand;

    fn command(argv: &[&str]) -> ExecCommand {
        ExecCommand {
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            ..ExecCommand::default()
        }
    }

    #[test]
    fn a_shell_is_the_default_users_login() {
        assert_eq!(remote(&command(&[]), "debian"), Remote { user: "debian".into(), line: None });
        let root = ExecCommand { user: Some("root".into()), ..command(&[]) };
        assert_eq!(remote(&root, "debian"), Remote { user: "root".into(), line: None });
        let other = ExecCommand { user: Some("alice".into()), ..command(&[]) };
        let line = Some("exec runuser -l alice".into());
        assert_eq!(remote(&other, "debian"), Remote { user: "root".into(), line });
    }

    #[test]
    fn a_command_is_roots_and_its_words_stay_words() {
        let run = remote(&command(&["sh", "-c", "echo $HOME 'x'"]), "debian");
        assert_eq!(run.user, "root");
        assert_eq!(run.line.expect("line"), format!(r"{SOURCE}exec sh -c 'echo $HOME '\''x'\'''"));
    }

    #[test]
    fn directory_variables_and_user_are_kept() {
        let asked = ExecCommand {
            environment: [("A".to_owned(), "1 2".to_owned())].into(),
            user: Some("www-data:adm".into()),
            working_dir: Some("/srv/a b".into()),
            ..command(&["id"])
        };
        assert_eq!(
            remote(&asked, "debian").line.expect("line"),
            format!(
                "{SOURCE}cd -- '/srv/a b' || exit 126; exec env HOME=\"$(getent passwd www-data \
                 | cut -d: -f6)\" USER=www-data LOGNAME=www-data runuser -u www-data -g adm -- \
                 env 'A=1 2' id"
            )
        );
        let number = ExecCommand { user: Some("1000".into()), ..command(&["id"]) };
        let line = remote(&number, "debian").line.expect("line");
        assert!(line.ends_with("exec setpriv --reuid=1000 --regid=1000 --clear-groups -- id"));
    }
}
