//! Against real shells and a real sshd.

mod local;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::connect::{Call, Target};

/// A deadline that only a hang reaches.
fn call() -> Call {
    Call::quiet(Duration::from_secs(20))
}

fn run(script: &str) -> Effect {
    Effect::Run(Run::shell(script))
}
