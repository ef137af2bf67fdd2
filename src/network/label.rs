//! Reads back the labels that [`crate::state::names::label`] makes:
//! `windlass:<home>:<stack>:<what>`.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

/// A label taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Label<'a> {
    /// The state directory it belongs to.
    pub(crate) home_id: &'a str,
    /// The stack.
    pub(crate) stack: &'a str,
    /// What of the stack.
    pub(crate) what: &'a str,
}

/// `None`: not one of ours.
pub(crate) fn parse(label: &str) -> Option<Label<'_>> {
    let (home_id, rest) = label.strip_prefix("windlass:")?.split_once(':')?;
    let (stack, what) = rest.split_once(':')?;
    Some(Label { home_id, stack, what })
}

/// Whether two labels belong to the same stack of the same state directory.
pub(crate) fn same_owner(one: &str, other: &str) -> bool {
    match (parse(one), parse(other)) {
        (Some(one), Some(other)) => (one.home_id, one.stack) == (other.home_id, other.stack),
        _ => false,
    }
}

/// The network's name in a bridge's label.
pub(crate) fn network(what: &str) -> &str {
    what.strip_prefix("network ").or_else(|| what.strip_prefix("network:")).unwrap_or(what)
}

#[cfg(test)]
mod tests {
    use super::{Label, network, parse, same_owner};

    #[test]
    fn labels_are_read_back() {
        let label = parse("windlass:0a1b2c3d:shop:network back");
        assert_eq!(label, Some(Label { home_id: "0a1b2c3d", stack: "shop", what: "network back" }));
        assert_eq!(network("network back"), "back");
        assert_eq!(network("back"), "back");
        assert_eq!(parse("the uplink"), None);
        assert!(same_owner("windlass:h:shop:a", "windlass:h:shop:b"));
        assert!(!same_owner("windlass:h:shop:a", "windlass:i:shop:a"));
        assert!(!same_owner("", ""));
    }
}
