//! `rollout` rolls systems out: a flat TOML plan, run as a graph over SSH, Kubernetes, Helm and Vault.
//!
//! Arrows point down this list only: [`cli`] → [`ui`] → [`engine`] → [`journal`] → [`graph`] → [`actions`] → [`connect`] →
//! [`plan`] → [`inventory`] → [`defect`] → [`event`], [`diff`], [`digest`], [`document`], [`excerpt`], [`finding`], [`holder`], [`private`], [`secret`], [`sync`], [`template`].

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
