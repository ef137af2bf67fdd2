//! Who a container's process is: `user[:group]`, names or numbers, looked up
//! in the image's own files as Docker does it.

use serde::{Deserialize, Serialize};

use super::Refusal;
use super::inside::Inside;

/// A user with its groups and home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) user: u32,
    pub(super) group: u32,
    /// More groups it is a member of.
    pub(super) groups: Vec<u32>,
    pub(super) home: String,
    pub(super) shell: String,
}

/// Looks `text` up; empty: root.
pub(super) fn find(text: &str, inside: &Inside) -> Result<Account, Refusal> {
    let read = |path: &str| {
        inside.read(path).map_err(Refusal::system(format!("read /{path} of the image")))
    };
    let passwd = read("etc/passwd")?.unwrap_or_default();
    let group = read("etc/group")?.unwrap_or_default();
    resolve(text, &passwd, &group)
}

fn resolve(text: &str, passwd: &str, group: &str) -> Result<Account, Refusal> {
    let (user, wanted_group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let number: Option<u32> = user.parse().ok();
    let entry = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| {
        fields.len() >= 7
            && (fields[0] == user || number.is_some_and(|n| fields[2].parse() == Ok(n)))
    });
    let mut account = match (&entry, number) {
        (Some(fields), _) => Account {
            user: fields[2].parse().map_err(|_| unknown("user", user))?,
            group: fields[3].parse().map_err(|_| unknown("user", user))?,
            groups: Vec::new(),
            home: fields[5].to_owned(),
            shell: fields[6].to_owned(),
        },
        (None, Some(number)) => Account {
            user: number,
            group: 0,
            groups: Vec::new(),
            home: "/".to_owned(),
            shell: String::new(),
        },
        (None, None) => return Err(unknown("user", user)),
    };
    if account.home.is_empty() {
        "/".clone_into(&mut account.home);
    }
    if let Some(wanted) = wanted_group {
        account.group = group_number(wanted, group)?;
    } else {
        let name = entry.as_ref().map_or(user, |fields| fields[0]);
        account.groups = memberships(name, group);
    }
    Ok(account)
}

fn group_number(wanted: &str, group: &str) -> Result<u32, Refusal> {
    let named = group.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == wanted).then(|| fields.nth(1)?.parse().ok()).flatten()
    });
    named.or_else(|| wanted.parse().ok()).ok_or_else(|| unknown("group", wanted))
}

fn memberships(user: &str, group: &str) -> Vec<u32> {
    let member = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let members = fields.get(3)?;
        members.split(',').any(|name| name == user).then(|| fields[2].parse().ok()).flatten()
    };
    group.lines().filter_map(member).collect()
}

fn unknown(what: &str, name: &str) -> Refusal {
    Refusal::UnknownUser { what: what.to_owned(), name: name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::{Account, resolve};

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/srv:/bin/false\n";
    const GROUP: &str = "root:x:0:\nwww:x:34:\nlogs:x:40:web,root\n";

    fn found(text: &str) -> Option<(u32, u32, Vec<u32>, String)> {
        let Account { user, group, groups, home, .. } = resolve(text, PASSWD, GROUP).ok()?;
        Some((user, group, groups, home))
    }

    #[test]
    fn names_and_numbers() {
        assert_eq!(found(""), Some((0, 0, vec![40], "/root".into())));
        assert_eq!(found("web"), Some((33, 34, vec![40], "/srv".into())));
        assert_eq!(found("33"), Some((33, 34, vec![40], "/srv".into())));
        assert_eq!(found("web:logs"), Some((33, 40, vec![], "/srv".into())));
        assert_eq!(found("1000:1001"), Some((1000, 1001, vec![], "/".into())));
        assert_eq!(found("1000"), Some((1000, 0, vec![], "/".into())));
        assert_eq!(found("nobody"), None);
        assert_eq!(found("web:none"), None);
    }
}
