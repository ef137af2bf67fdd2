//! The JSON schema of a stack file, for editors. It is generated from the key
//! tables in [`crate::spec`] and checked in as `schemas/stack.schema.json`.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub use crate::spec::json_schema;
