//! The dependency graph: who comes before whom, who depends on whom, cycles in
//! words, and the picture of it. It knows names and edges, nothing of the host.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod picture;

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;

use crate::stack::Stack;

pub use picture::{dot, tree};

/// Who depends on whom, by name: an entry for every node.
pub type Edges<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// Names so that each comes after what it depends on; those that nothing keeps
/// apart in alphabetical order. Names on a cycle come last, alphabetically.
pub fn order<'a>(edges: &Edges<'a>) -> Vec<&'a str> {
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = edges
        .iter()
        .map(|(name, on)| {
            (*name, on.iter().filter(|on| edges.contains_key(**on)).copied().collect())
        })
        .collect();
    let mut order = Vec::with_capacity(edges.len());
    let mut free: BTreeSet<&str> = names_without(&missing);
    let dependents = dependents(edges);
    while let Some(name) = free.pop_first() {
        missing.remove(name);
        order.push(name);
        for dependent in dependents.get(name).into_iter().flatten() {
            if let Some(left) = missing.get_mut(dependent) {
                left.remove(name);
                if left.is_empty() {
                    free.insert(dependent);
                }
            }
        }
    }
    order.extend(missing.into_keys());
    order
}

fn names_without<'a>(missing: &Edges<'a>) -> BTreeSet<&'a str> {
    missing.iter().filter(|(_, on)| on.is_empty()).map(|(name, _)| *name).collect()
}

/// The edges the other way round: who depends on each.
pub fn dependents<'a>(edges: &Edges<'a>) -> Edges<'a> {
    let mut reversed: Edges<'a> = edges.keys().map(|name| (*name, BTreeSet::new())).collect();
    for (name, on) in edges {
        for on in on {
            if let Some(dependents) = reversed.get_mut(on) {
                dependents.insert(name);
            }
        }
    }
    reversed
}

/// One cycle, if there is any, starting at its alphabetically first name and
/// following "waits for".
pub fn cycle<'a>(edges: &Edges<'a>) -> Option<Vec<&'a str>> {
    let mut graph: DiGraphMap<&str, ()> = DiGraphMap::new();
    for (name, on) in edges {
        graph.add_node(name);
        for on in on.iter().filter(|on| edges.contains_key(**on)) {
            graph.add_edge(name, on, ());
        }
    }
    let knot = tarjan_scc(&graph)
        .into_iter()
        .filter(|knot| knot.len() > 1 || knot.iter().any(|name| graph.contains_edge(name, name)))
        .map(|knot| knot.into_iter().collect::<BTreeSet<&str>>())
        .min()?;
    Some(walk_around(edges, &knot))
}

/// Follows the edges within a strongly connected set until a name comes again.
fn walk_around<'a>(edges: &Edges<'a>, knot: &BTreeSet<&'a str>) -> Vec<&'a str> {
    let mut path: Vec<&str> = Vec::new();
    let mut at = knot.first().copied();
    while let Some(name) = at {
        if let Some(start) = path.iter().position(|seen| *seen == name) {
            let mut around = path.split_off(start);
            let first = around.iter().enumerate().min_by_key(|(_, name)| **name);
            let turn = first.map_or(0, |(index, _)| index);
            around.rotate_left(turn);
            return around;
        }
        path.push(name);
        at = edges.get(name).and_then(|on| on.iter().find(|on| knot.contains(**on)).copied());
    }
    path
}

/// `a → b → c → a`
pub fn cycle_in_words(cycle: &[&str]) -> String {
    let mut words = cycle.to_vec();
    words.extend(cycle.first());
    words.join(" → ")
}

/// Who depends on whom in a stack.
pub fn edges(stack: &Stack) -> Edges<'_> {
    stack
        .workloads
        .iter()
        .map(|(name, workload)| {
            (name.as_str(), workload.depends_on.keys().map(String::as_str).collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges_of<'a>(pairs: &[(&'a str, &[&'a str])]) -> Edges<'a> {
        pairs.iter().map(|(name, on)| (*name, on.iter().copied().collect())).collect()
    }

    #[test]
    fn each_comes_after_what_it_depends_on() {
        let edges = edges_of(&[("a", &["z"]), ("b", &[]), ("z", &[])]);
        assert_eq!(order(&edges), ["b", "z", "a"]);
    }

    #[test]
    fn a_cycle_is_told_from_its_first_name() {
        let edges = edges_of(&[("c", &["a"]), ("a", &["b"]), ("b", &["c"]), ("d", &["a"])]);
        let cycle = cycle(&edges).expect("a cycle");
        assert_eq!(cycle_in_words(&cycle), "a → b → c → a");
    }

    #[test]
    fn one_that_waits_for_itself_is_a_cycle() {
        assert_eq!(cycle(&edges_of(&[("a", &["a"])])), Some(vec!["a"]));
        assert_eq!(cycle(&edges_of(&[("a", &["b"]), ("b", &[])])), None);
    }
}
