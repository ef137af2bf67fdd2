//! The JSON schemas of a stack file and of a gitops file, for editors. They are
//! generated from the key tables that check those files, and checked in as
//! `schemas/stack.schema.json` and `schemas/gitops.schema.json`.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub use crate::gitops::file::json_schema as gitops_json_schema;
pub use crate::spec::json_schema;
