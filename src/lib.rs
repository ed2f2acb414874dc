//! `rollout` rolls systems out: a flat TOML plan, run as a graph over SSH, Kubernetes, Helm and Vault.
//!
//! The modules, from the bottom to the top. Each one imports only modules above it in this list (`tests/layers` checks
//! this):
//!
//! - [`sync`] — locks that ignore poison
//! - [`digest`] — hashes as text
//! - [`excerpt`] — shortens texts for display
//! - [`holder`] — the holder of a run lock
//! - [`private`] — files and folders that only their owner may access
//! - [`secret`] — secret values, and the redactor that masks them in all output
//! - [`diff`] — the changes of a step
//! - [`event`] — the events of a run
//! - [`defect`] — turns panics into errors
//! - [`finding`] — what is wrong with a file, and where
//! - [`document`] — TOML and YAML with source places, and the files of a project
//! - [`template`] — `{{ … }}` templates
//! - [`inventory`] — hosts, groups, endpoints
//! - [`plan`] — phases and steps, and their checks
//! - [`graph`] — units and their dependencies
//! - [`journal`] — the records of runs, and what a later run reads from them
//! - [`connect`] — connections to hosts, clusters and Vault
//! - [`actions`] — what steps do, as data
//! - [`engine`] — runs the graph
//! - [`ui`] — shows events
//! - [`converge`] — when to probe, what is drift, how often to repair
//! - [`cli`] — the subcommands

#![warn(clippy::print_stderr, clippy::print_stdout, clippy::unwrap_used)]

pub mod actions;
pub mod cli;
pub mod connect;
pub mod converge;
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
#[allow(dead_code, reason = "other tests use the rest of this file")]
mod needs;
pub mod plan;
pub mod private;
pub mod secret;
pub mod sync;
pub mod template;
pub mod ui;
