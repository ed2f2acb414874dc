//! `rollout` rolls systems out: a flat TOML plan, run as a graph over SSH, Kubernetes, Helm and Vault.
//!
//! The modules from the bottom to the top; each imports only those above it in this list (`tests/layers` sees to it):
//!
//! - [`sync`] — locks
//! - [`digest`] — hashes as text
//! - [`excerpt`] — the beginning or the end of a text
//! - [`holder`] — who holds a lock
//! - [`private`] — files and folders that only their owner may read
//! - [`secret`] — values that no sink may show, and the redactor
//! - [`diff`] — what a step changes
//! - [`event`] — what a run tells
//! - [`defect`] — panics as errors
//! - [`finding`] — what is wrong with a file, and where
//! - [`document`] — TOML and YAML with places, the files of a project
//! - [`template`] — `{{ … }}`
//! - [`inventory`] — hosts, groups, endpoints
//! - [`plan`] — phases and steps, and their checks
//! - [`graph`] — units and what they wait for
//! - [`journal`] — what is on record of runs, and what a later run makes of it
//! - [`connect`] — how hosts, clusters and Vault are reached
//! - [`actions`] — what steps do, as data
//! - [`engine`] — walks the graph
//! - [`ui`] — shows events
//! - [`cli`] — the subcommands

#![warn(clippy::print_stderr, clippy::print_stdout, clippy::unwrap_used)]

pub mod actions;
pub mod cli;
pub mod connect;
pub mod defect;
pub mod diff;
pub mod digest;
pub mod document;
pub mod engine;
pub mod event;
pub mod excerpt;
pub mod finding;
pub mod graph;
pub mod holder;
pub mod inventory;
pub mod journal;
#[cfg(test)]
#[path = "../tests/shared/needs.rs"]
#[allow(dead_code, reason = "other tests ask more of it")]
mod needs;
pub mod plan;
pub mod private;
pub mod secret;
pub mod sync;
pub mod template;
pub mod ui;
