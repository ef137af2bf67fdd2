//! `GitOps`: the stack is what a ref of a git repository says it is.
//!
//! [`decide`] is the pure core: from what is written down, what was asked and
//! what was fetched to what is done next, and why. [`file`](mod@file), [`gates`], [`record`]
//! and [`unit`](mod@unit) are pure too. `git`, `store` and `judge` are the rim; [`run`] is
//! the loop. It neither prints nor changes a workload: for that it has
//! [`run::Hands`].

pub mod decide;
pub mod file;
pub mod gates;
pub mod git;
pub mod judge;
pub mod record;
pub mod run;
pub mod source;
pub mod store;
pub mod unit;

pub use file::{Policy, Settings};
pub use record::{Record, Revision};
pub use store::Store;
