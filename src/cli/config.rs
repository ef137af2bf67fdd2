//! `config`: checks the files and shows what they say together.

use super::arguments::{Config, ConfigFormat};
use super::{CommandError, Exit, Invocation, project};
use crate::spec::render;
use crate::yaml::Node;

pub(super) fn run(invocation: &Invocation, arguments: &Config) -> Result<Exit, CommandError> {
    let spec = project::read(invocation)?.spec;
    if arguments.quiet {
        return Ok(Exit::Done);
    }
    let sections = [
        (arguments.services, "services"),
        (arguments.vms, "vms"),
        (arguments.volumes, "volumes"),
        (arguments.networks, "networks"),
    ];
    if let Some((_, section)) = sections.into_iter().find(|(asked, _)| *asked) {
        return show(invocation, names(&spec.document, section));
    }
    if arguments.images {
        return show(invocation, images(&spec.document));
    }
    match arguments.format {
        ConfigFormat::Yaml => invocation.screen.raw(render::yaml(&spec).as_bytes())?,
        ConfigFormat::Json => invocation.screen.data(&render::json(&spec))?,
    }
    Ok(Exit::Done)
}

fn show(invocation: &Invocation, mut lines: Vec<String>) -> Result<Exit, CommandError> {
    lines.sort();
    lines.dedup();
    for line in lines {
        invocation.screen.data(&line)?;
    }
    Ok(Exit::Done)
}

fn names(document: &Node, section: &str) -> Vec<String> {
    let section = document.get(section).and_then(Node::as_mapping);
    section.into_iter().flat_map(|entries| entries.keys().cloned()).collect()
}

fn images(document: &Node) -> Vec<String> {
    let workloads = ["services", "vms"].into_iter().filter_map(|section| document.get(section));
    let all = workloads.filter_map(Node::as_mapping).flat_map(|entries| entries.values());
    all.filter_map(|workload| workload.value.get("image")?.as_text().map(str::to_owned)).collect()
}
