//! `[[IP:]PUBLISHED:]TARGET[/PROTOCOL]`, ranges included → one mapping a port.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{Canonical, set, set_text};
use crate::diagnostic::{Diagnostic, Span};
use crate::yaml::{Node, Value};

/// The most ports that one line may publish.
const MOST: usize = 65_536;

impl Canonical<'_> {
    /// The list of published ports.
    pub(super) fn ports(&mut self, node: &mut Node) {
        let Value::Sequence(items) = &mut node.value else { return };
        let mut ports = Vec::with_capacity(items.len());
        for mut item in std::mem::take(items) {
            if let Some(text) = item.as_scalar().map(|scalar| scalar.text.clone()) {
                match short(&text, item.span) {
                    Ok(several) => ports.extend(several),
                    Err(diagnostic) => self.found.push(diagnostic),
                }
            } else {
                long(&mut item);
                ports.push(item);
            }
        }
        set(node, Node::sequence(node.span, ports));
    }
}

/// The long form with what it may leave out.
fn long(item: &mut Node) {
    let span = item.span;
    let Some(entries) = item.as_mapping_mut() else { return };
    for key in ["target", "published"] {
        if let Some(entry) = entries.get_mut(key)
            && let Some(text) = entry.value.as_text().map(str::to_owned)
        {
            match key {
                "target" => entry.value.value = Node::plain(span, text).value,
                _ => set_text(&mut entry.value, text),
            }
        }
    }
    for (key, default) in [("mode", "ingress"), ("protocol", "tcp")] {
        entries
            .entry(key.to_owned())
            .or_insert_with(|| crate::yaml::Entry { key: span, value: Node::text(span, default) });
    }
}

fn short(text: &str, span: Span) -> Result<Vec<Node>, Diagnostic> {
    let wrong = |what: String| {
        Diagnostic::error(format!("`{text}` is not a port: {what}"))
            .at(span)
            .help("write `8080:80`, `127.0.0.1:8080:80`, `80` or `53:53/udp`")
    };
    let (addresses, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(wrong(format!("there is no protocol `{protocol}`")));
    }
    let (rest, target) =
        addresses.rsplit_once(':').map_or(("", addresses), |(rest, target)| (rest, target));
    let (host, published) = match rest.rsplit_once(':') {
        Some((host, published)) => (host.trim_matches(['[', ']']), published),
        None if rest.contains('.') => (rest, ""),
        None => ("", rest),
    };
    if !host.is_empty() && host.parse::<std::net::IpAddr>().is_err() {
        return Err(wrong(format!("`{host}` is not an address")));
    }
    let targets = range(target).ok_or_else(|| wrong(format!("`{target}` is no port inside")))?;
    let published_range = if published.is_empty() {
        None
    } else {
        let range = range(published);
        Some(range.ok_or_else(|| wrong(format!("`{published}` is no port of the host")))?)
    };
    let count = targets.len();
    if let Some(published) = &published_range
        && published.len() != count
        && count != 1
    {
        return Err(wrong("the two ranges differ in length".to_owned()));
    }
    if count > MOST {
        return Err(wrong("these are too many".to_owned()));
    }
    let ports = targets.enumerate().map(|(at, target)| {
        let mut entries = vec![("mode".to_owned(), Node::text(span, "ingress"))];
        if !host.is_empty() {
            entries.push(("host_ip".to_owned(), Node::text(span, host)));
        }
        entries.push(("target".to_owned(), Node::plain(span, target.to_string())));
        let published = match &published_range {
            Some(range) if range.len() == count => {
                range.clone().nth(at).map(|port| port.to_string())
            }
            Some(_) => Some(published.to_owned()),
            None => None,
        };
        if let Some(published) = published {
            entries.push(("published".to_owned(), Node::text(span, published)));
        }
        entries.push(("protocol".to_owned(), Node::text(span, protocol.as_str())));
        Node::mapping(span, entries)
    });
    Ok(ports.collect())
}

/// `80` or `80-90`.
fn range(text: &str) -> Option<std::ops::RangeInclusive<u16>> {
    let port = |text: &str| text.parse::<u16>().ok();
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then_some(first..=last)
}
