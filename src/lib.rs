//! Windlass: one file declares VMs, containers, cloud-init, mounts and
//! networks; `up` makes the machine match it.
//!
//! The modules stand in the order that data flows:
//!
//! ```text
//! text ── spec ──▶ Spec ── stack ──▶ Stack ─┐
//! host, ledger, files ── facts ──▶ Facts ───┼─ plan ──▶ Plan ── apply ──▶ events
//! engines, disk ── observe ──▶ Observed ────┘
//! ```
//!
//! Start with [`reconcile`].

pub mod diagnostic;
pub mod yaml;
pub mod spec;
pub mod schema;
pub mod stack;
pub mod graph;
pub mod observed;
pub mod facts;
pub mod plan;
pub mod conditions;
pub mod cloud_init;
pub mod world;
pub mod reconcile;
pub mod apply;
pub mod health;
pub mod event;
pub mod watch;
pub mod supervisor;
pub mod gitops;
pub mod autostart;
pub mod engine;
pub mod shim;
pub mod readable;
mod netlink;
pub mod network;
pub mod image;
pub mod volume;
pub mod guest;
pub mod state;
pub mod logs;
mod terminal;
pub mod doctor;
pub mod cli;
