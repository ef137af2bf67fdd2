//! Every key of a stack file: the root and what services and VMs share.
//!
//! A table says what may be written and whether it is carried out. What it
//! means is not said here but in [`super::canonical`] and in `stack::resolve`.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod resource;
mod service;
mod shared;
mod vm;

pub(crate) use service::SERVICE;
pub(crate) use vm::VM;

use super::form::{Form, Key, Object, State, key, later};

/// What a supervisor does about what was changed behind its back.
pub(super) const DRIFT: Form = Form::Words(&["off", "detect", "correct"]);

/// The whole file.
pub(crate) static ROOT: Object = Object {
    keys: &[
        key("name", Form::Text),
        Key { name: "version", form: Form::Any, state: State::Obsolete },
        key("include", Form::List(&Form::Either(&[Form::Text, Form::Object(&resource::INCLUDE)]))),
        key("services", Form::Map(&Form::Object(&SERVICE))),
        key("containers", Form::Map(&Form::Object(&SERVICE))),
        key("vms", Form::Map(&Form::Object(&VM))),
        key("networks", Form::Map(&Form::Object(&resource::NETWORK))),
        key("volumes", Form::Map(&Form::Object(&resource::VOLUME))),
        key("secrets", Form::Map(&Form::Object(&resource::SECRET))),
        key("configs", Form::Map(&Form::Object(&resource::CONFIG))),
        key("cloud_init", Form::Map(&vm::DOCUMENT)),
        key("drift", DRIFT),
        later("models", Form::Map(&Form::Any)),
    ],
    required: &[],
};
