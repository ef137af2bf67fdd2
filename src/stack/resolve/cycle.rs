//! Workloads that wait for each other, across kinds.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{HashMap, HashSet, VecDeque};

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::{Resolver, Written};
use crate::diagnostic::{Diagnostic, Span};
use crate::yaml::Node;

type Graph<'a> = DiGraph<Written<'a>, Span>;

impl Resolver<'_> {
    /// One error for each knot of dependencies, showing its shortest circle.
    pub(super) fn no_cycle(&mut self, written: &[Written<'_>]) {
        let mut graph: Graph<'_> = DiGraph::new();
        let indices: HashMap<&str, NodeIndex> =
            written.iter().map(|one| (one.name, graph.add_node(*one))).collect();
        for one in written {
            let dependencies = one.node.get("depends_on").and_then(Node::as_mapping);
            for (name, entry) in dependencies.into_iter().flatten() {
                if let (Some(from), Some(to)) = (indices.get(one.name), indices.get(name.as_str()))
                {
                    graph.add_edge(*from, *to, entry.key);
                }
            }
        }
        let mut knots: Vec<Vec<NodeIndex>> = kosaraju_scc(&graph)
            .into_iter()
            .filter(|knot| knot.len() > 1 || graph.contains_edge(knot[0], knot[0]))
            .collect();
        knots.sort_by_key(|knot| knot.iter().map(|index| graph[*index].key).min());
        for knot in knots {
            if let Some(diagnostic) = circle(&graph, &knot).map(|circle| describe(&graph, &circle))
            {
                self.found.push(diagnostic);
            }
        }
    }
}

/// The shortest way from the knot's first workload back to itself.
fn circle(graph: &Graph<'_>, knot: &[NodeIndex]) -> Option<Vec<NodeIndex>> {
    let start = *knot.iter().min_by_key(|index| graph[**index].key)?;
    let within: HashSet<NodeIndex> = knot.iter().copied().collect();
    let mut before: HashMap<NodeIndex, NodeIndex> = HashMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for next in graph.neighbors(at) {
            if next == start {
                let mut way = vec![at];
                while let Some(earlier) = before.get(way.last()?) {
                    way.push(*earlier);
                }
                way.reverse();
                return Some(way);
            }
            if within.contains(&next) && !before.contains_key(&next) {
                before.insert(next, at);
                queue.push_back(next);
            }
        }
    }
    None
}

fn describe(graph: &Graph<'_>, circle: &[NodeIndex]) -> Diagnostic {
    let shown = |index: &NodeIndex| {
        let one = &graph[*index];
        if one.is_vm { format!("vm {}", one.name) } else { one.name.to_owned() }
    };
    let names: Vec<String> = circle.iter().chain(circle.first()).map(shown).collect();
    if let [only] = circle {
        let title = format!("`{}` waits for itself", graph[*only].name);
        let edge = graph.find_edge(*only, *only).map_or(graph[*only].key, |edge| graph[edge]);
        return Diagnostic::error(title).at(edge).help("take this dependency away");
    }
    let diagnostic = Diagnostic::error(format!("these wait for each other: {}", names.join(" → ")));
    let steps = circle.iter().zip(circle.iter().cycle().skip(1));
    steps
        .fold(diagnostic, |diagnostic, (from, to)| {
            let place = graph.find_edge(*from, *to).map_or(graph[*from].key, |edge| graph[edge]);
            let text = format!("{} waits for {}", graph[*from].name, graph[*to].name);
            diagnostic.label(place, text)
        })
        .help(format!("take one of the {} away", count(circle.len())))
}

fn count(number: usize) -> String {
    match number {
        2 => "two".to_owned(),
        3 => "three".to_owned(),
        4 => "four".to_owned(),
        more => more.to_string(),
    }
}
