//! `rollout` rolls systems out: a flat TOML plan, run as a graph over SSH, Kubernetes, Helm and Vault.
//!
//! Arrows point down this list only: [`actions`] → [`connect`] → [`plan`] → [`inventory`] → [`event`], [`diff`],
//! [`secret`], [`template`].

pub mod actions;
pub mod connect;
pub mod diff;
pub mod engine;
pub mod event;
pub mod graph;
pub mod inventory;
pub mod journal;
pub mod plan;
pub mod secret;
pub mod template;
pub mod ui;
