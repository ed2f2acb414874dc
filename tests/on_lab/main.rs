//! Tests on the lab's real parts; they take turns. `tests/all` brings the lab up and runs them.

mod cluster;
mod crash;
mod istio;
mod locks;
#[path = "../crash/process.rs"]
mod process;
mod support;
