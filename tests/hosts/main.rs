//! Hosts that misbehave, and all actions on hosts of which nothing is fake: a real sshd in namespaces of a test's own. The
//! real program each time.
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
