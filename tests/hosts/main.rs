//! Hosts that misbehave, and all actions on hosts of which nothing is fake: a real sshd in namespaces of a test's own. The
//! real program each time.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test says what it skips and fails by panic")]

mod attack;
mod disks;
mod every;
mod large;
mod links;
mod logins;
mod machine;
mod nonsense;
mod places;
mod processes;
mod project;
#[allow(dead_code, reason = "the tests of secrets ask more of it")]
mod sshd;
mod system;

/// Whether a test that cannot be run is a failure.
fn demanded() -> bool {
    ["CI", "ROLLOUT_LONG"].iter().any(|name| std::env::var_os(name).is_some())
}

/// Whether there is time for what takes minutes or gigabytes.
fn long() -> bool {
    let long = std::env::var_os("ROLLOUT_LONG").is_some();
    if !long {
        eprintln!("skipped in part: what takes minutes or gigabytes; ROLLOUT_LONG=1 runs it");
    }
    long
}
