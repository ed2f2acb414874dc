//! Misbehaving hosts, and all actions on real hosts: a real sshd in namespaces of its own. All tests run the real
//! program.
#![expect(clippy::unwrap_used, reason = "a test fails by panic")]

mod attack;
mod disks;
mod every;
mod large;
mod links;
mod logins;
mod machine;
#[path = "../shared/needs.rs"]
#[allow(dead_code, reason = "other tests ask more of it")]
mod needs;
mod nonsense;
mod places;
mod processes;
mod project;
#[allow(dead_code, reason = "the tests of secrets ask more of it")]
mod sshd;
mod system;
