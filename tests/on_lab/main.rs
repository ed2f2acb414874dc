//! Tests on the lab's real parts; they take turns. `tests/all` brings the lab up and runs them.

mod cluster;
mod crash;
mod istio;
mod locks;
mod manifests;
#[path = "../shared/needs.rs"]
#[allow(dead_code, reason = "other tests ask more of it")]
mod needs;
#[path = "../poison/poison.rs"]
mod poison;
#[path = "../crash/process.rs"]
mod process;
mod registry;
mod secrets;
mod support;
