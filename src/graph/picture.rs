//! The graph as text and as DOT: what `windlass graph` prints.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeSet;
use std::fmt::Write;

use super::{dependents, edges};
use crate::stack::{Condition, Dependency, Stack, Workload};

/// A tree from those that nobody depends on down to what they need. What was
/// shown already is not unfolded again.
pub fn tree(stack: &Stack) -> String {
    let edges = edges(stack);
    let dependents = dependents(&edges);
    let mut text = String::new();
    let mut shown = BTreeSet::new();
    let tops = stack
        .workloads
        .values()
        .filter(|it| dependents.get(it.name.as_str()).is_none_or(BTreeSet::is_empty));
    for workload in tops {
        let _ = writeln!(text, "{}", title(workload));
        unfold(stack, workload, "", &mut shown, &mut text);
    }
    text
}

fn unfold<'a>(
    stack: &'a Stack,
    workload: &'a Workload,
    indent: &str,
    shown: &mut BTreeSet<&'a str>,
    text: &mut String,
) {
    if !shown.insert(&workload.name) {
        return;
    }
    let count = workload.depends_on.len();
    for (index, (name, dependency)) in workload.depends_on.iter().enumerate() {
        let last = index + 1 == count;
        let branch = if last { "└─ " } else { "├─ " };
        let Some(on) = stack.workloads.get(name) else { continue };
        let again = shown.contains(name.as_str()) && !on.depends_on.is_empty();
        let dots = if again { " …" } else { "" };
        let _ = writeln!(text, "{indent}{branch}{} ({}){dots}", title(on), words(dependency));
        let deeper = if last { "   " } else { "│  " };
        unfold(stack, on, &format!("{indent}{deeper}"), shown, text);
    }
}

fn title(workload: &Workload) -> String {
    let copies =
        if workload.replicas == 1 { String::new() } else { format!(" ×{}", workload.replicas) };
    format!("{} {}{copies}", workload.kind(), workload.name)
}

fn words(dependency: &Dependency) -> &'static str {
    match dependency.condition {
        Condition::ServiceStarted => "started",
        Condition::ServiceReady => "ready",
        Condition::ServiceHealthy => "healthy",
        Condition::ServiceCompletedSuccessfully => "completed",
    }
}

/// The same for Graphviz: an arrow from each to what it waits for.
pub fn dot(stack: &Stack) -> String {
    let mut text = format!("digraph \"{}\" {{\n  rankdir=LR;\n", stack.name);
    for workload in stack.workloads.values() {
        let shape = match workload.kind() {
            crate::stack::Kind::Container => "box",
            crate::stack::Kind::Vm => "box3d",
        };
        let _ = writeln!(
            text,
            "  \"{}\" [label=\"{}\", shape={shape}];",
            workload.name,
            title(workload)
        );
    }
    for workload in stack.workloads.values() {
        for (name, dependency) in &workload.depends_on {
            let style = if dependency.required { "" } else { ", style=dashed" };
            let _ = writeln!(
                text,
                "  \"{}\" -> \"{name}\" [label=\"{}\"{style}];",
                workload.name,
                words(dependency)
            );
        }
    }
    text.push_str("}\n");
    text
}
