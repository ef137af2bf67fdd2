//! `image pull|import|build|rm`: what goes into the image store and out of it.

use super::arguments::{Image, ImageCommand};
use super::ui::words;
use super::{CommandError, Exit, Invocation, images, project};
use crate::engine::{EngineError, Images};
use crate::event::Events;
use crate::image::Store;
use crate::stack::{ImageSource, Kind, Stack};

pub(super) async fn run(invocation: &Invocation, arguments: &Image) -> Result<Exit, CommandError> {
    let store = Store::open(&invocation.directories)?;
    match &arguments.command {
        ImageCommand::Pull { images, vm } if images.is_empty() && !vm => {
            let stack = project::load(invocation)?;
            let wanted = sources(&stack, |source| matches!(source, ImageSource::Reference(_)));
            fetch(invocation, &store, wanted, true).await
        }
        ImageCommand::Pull { images, vm } => {
            let named =
                images.iter().cloned().map(|name| (ImageSource::Reference(name), kind(*vm)));
            fetch(invocation, &store, named.collect(), true).await
        }
        ImageCommand::Import { path, vm } => import(invocation, &store, path, kind(*vm)).await,
        ImageCommand::Build { names } => {
            let stack = project::load(invocation)?;
            if let Some(unknown) = names.iter().find(|name| !stack.workloads.contains_key(*name)) {
                return Err(CommandError::NoSuchWorkload {
                    name: unknown.clone(),
                    stack: stack.name.to_string(),
                    known: stack.workloads.keys().cloned().collect(),
                });
            }
            let mut chosen = stack.clone();
            chosen.workloads.retain(|name, _| names.is_empty() || names.contains(name));
            let wanted = sources(&chosen, |source| matches!(source, ImageSource::Bootstrap(_)));
            fetch(invocation, &store, wanted, false).await
        }
        ImageCommand::Rm { images } => remove(invocation, &store, images),
    }
}

fn kind(vm: bool) -> Kind {
    if vm { Kind::Vm } else { Kind::Container }
}

/// The stack's images that are meant, each once.
fn sources(stack: &Stack, is_meant: impl Fn(&ImageSource) -> bool) -> Vec<(ImageSource, Kind)> {
    let all = stack.workloads.values().map(|workload| (workload.image.clone(), workload.kind()));
    let mut sources: Vec<_> = all.filter(|(source, _)| is_meant(source)).collect();
    sources.sort();
    sources.dedup();
    sources
}

async fn fetch(
    invocation: &Invocation,
    store: &Store,
    wanted: Vec<(ImageSource, Kind)>,
    refresh: bool,
) -> Result<Exit, CommandError> {
    let (events, receiver) = Events::channel();
    let work = async {
        let sending = &events;
        let fetches = wanted.iter().map(|(source, kind)| async move {
            let digest = store.fetch(source, *kind, refresh, sending).await?;
            Ok::<_, EngineError>((source, digest))
        });
        let results = futures_util::future::join_all(fetches).await;
        // The screen ends when nobody can send any more.
        drop(events);
        results
    };
    let (results, _) = tokio::join!(work, invocation.screen.follow("", receiver));
    // One that cannot be had keeps nobody from the others; the first is the error.
    let mut first = None;
    for result in results {
        match result {
            Ok((source, digest)) => {
                invocation.screen.data(&format!("{source} {digest}"))?;
            }
            Err(error) if first.is_none() => first = Some(error),
            Err(error) => invocation.screen.error(&error.into()),
        }
    }
    first.map_or(Ok(Exit::Done), |error| Err(error.into()))
}

async fn import(
    invocation: &Invocation,
    store: &Store,
    path: &std::path::Path,
    kind: Kind,
) -> Result<Exit, CommandError> {
    let (events, receiver) = Events::channel();
    let work = async {
        let result = store.import(path, kind, &events).await;
        drop(events);
        result
    };
    let (result, _) = tokio::join!(work, invocation.screen.follow("", receiver));
    invocation.screen.data(&result?)?;
    Ok(Exit::Done)
}

fn remove(invocation: &Invocation, store: &Store, names: &[String]) -> Result<Exit, CommandError> {
    let users = images::users(invocation)?;
    for name in names {
        let removed = store.remove(name, &users)?;
        let freed = words::bytes(removed.bytes);
        invocation.screen.say(&if removed.images.is_empty() {
            format!("took the name {name} from its image, which has others")
        } else {
            format!("removed {name}, {freed} are free again")
        });
    }
    Ok(Exit::Done)
}
