//! What may stand for a repository and for a ref, and what a stack is called
//! after it. Pure.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::path::Path;

use crate::spec;
use crate::stack::StackName;

/// Why something is no repository.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    /// What is wrong.
    pub title: String,
    /// What to write instead.
    pub help: &'static str,
}

/// A repository as git takes it; a local path is made absolute from `base`.
pub fn repository(written: &str, base: &Path) -> Result<String, Wrong> {
    let wrong = |title: String, help| Err(Wrong { title, help });
    // git would take it for an option.
    if written.is_empty() || written.starts_with('-') || written.contains(char::is_control) {
        let help = "write an address like `https://host/path.git`";
        return wrong(format!("`{written}` is not a repository"), help);
    }
    if let Some((scheme, rest)) = written.split_once("://") {
        return match scheme {
            // As for ssh, a host that begins like an option is none.
            "https" | "ssh" if !rest.is_empty() && !rest.starts_with('-') => Ok(written.to_owned()),
            "file" if rest.starts_with('/') => Ok(rest.to_owned()),
            "http" | "git" => wrong(
                format!("`{scheme}://` lets anybody on the way change what arrives"),
                "use `https://` or `ssh://`",
            ),
            _ => wrong(
                format!("`{written}` is not a repository"),
                "it may be `https://…`, `ssh://…`, `git@host:path` or a local path",
            ),
        };
    }
    if is_scp_like(written) {
        return Ok(written.to_owned());
    }
    Ok(spec::path::clean(&base.join(written)).display().to_string())
}

/// `git@host:path`: a colon before the first slash, and no `::` of a helper.
fn is_scp_like(written: &str) -> bool {
    written.split_once(':').is_some_and(|(host, path)| {
        !host.is_empty() && !host.contains('/') && !path.is_empty() && !path.starts_with(':')
    })
}

/// The stack's name, after the repository's.
pub fn name(repo: &str) -> Option<StackName> {
    let last = repo.trim_end_matches('/').rsplit(['/', ':']).next()?;
    let last = last.strip_suffix(".git").unwrap_or(last).to_lowercase();
    let name: String = last
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' })
        .collect();
    StackName::new(name.trim_matches(['-', '_']))
}

/// Whether it may be the name of a branch or a tag, or a commit: git's own rules,
/// and nothing that a refspec takes for something else.
pub fn is_reference(written: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty() && !part.starts_with('.') && part.strip_suffix(".lock").is_none()
    };
    let forbidden = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    !written.starts_with(['-', '+'])
        && !written.ends_with('.')
        && !written.contains("..")
        && !written.contains("@{")
        && written != "@"
        && !written.contains(forbidden)
        && written.split('/').all(part)
}

/// Whether it is a whole commit, which cannot move.
pub fn is_commit(reference: &str) -> bool {
    matches!(reference.len(), 40 | 64) && reference.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The repository without a password, for people.
pub fn shown(repo: &str) -> String {
    let Some((scheme, rest)) = repo.split_once("://") else { return repo.to_owned() };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    match host.rsplit_once('@') {
        Some((user, host)) if user.contains(':') || scheme == "https" => {
            format!("{scheme}://{host}/{path}")
        }
        _ => repo.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_repository() {
        let base = Path::new("/etc/windlass");
        let repo = |written: &str| repository(written, base).map_err(|wrong| wrong.title);
        assert_eq!(repo("https://h/a.git").unwrap(), "https://h/a.git");
        assert_eq!(repo("git@h:team/a.git").unwrap(), "git@h:team/a.git");
        assert_eq!(repo("../repos/a").unwrap(), "/etc/repos/a");
        assert_eq!(repo("file:///srv/a.git").unwrap(), "/srv/a.git");
        for wrong in
            ["", "-u", "git://h/a", "http://h/a", "ext::sh -c x", "ssh://-oProxy/x", "x://y"]
        {
            let made = repo(wrong);
            assert!(made.is_err() || made == Ok("/etc/windlass/ext::sh -c x".into()), "{made:?}");
        }
    }

    #[test]
    fn a_stack_is_called_as_its_repository() {
        let name = |repo| name(repo).map(|name| name.to_string());
        assert_eq!(name("https://h/team/My.Shop.git").as_deref(), Some("my-shop"));
        assert_eq!(name("git@h:shop.git").as_deref(), Some("shop"));
        assert_eq!(name("/srv/shop/").as_deref(), Some("shop"));
        assert_eq!(name("/srv/***"), None);
    }

    #[test]
    fn what_is_a_reference() {
        for right in ["main", "release/1.2", "v1.0", "0123456789012345678901234567890123456789"] {
            assert!(is_reference(right), "{right}");
        }
        for wrong in
            ["", "-x", "a b", "a:b", "a..b", "+a", "a.lock", "@{-1}", "a//b", "refs/*", "@"]
        {
            assert!(!is_reference(wrong), "{wrong}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(shown("https://me:secret@h/a.git"), "https://h/a.git");
        assert_eq!(shown("https://token@h/a.git"), "https://h/a.git");
        assert_eq!(shown("ssh://git@h/a.git"), "ssh://git@h/a.git");
    }
}
