//! What the fuzzers share.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::sync::LazyLock;

pub mod targets;

static LAST: LazyLock<Option<OsString>> = LazyLock::new(|| std::env::var_os("ROLLOUT_FUZZ_LAST"));

/// Runs a target, its input on disk before: a full stack ends the process before the fuzzer can write it.
pub fn run(target: fn(&[u8]), data: &[u8]) {
    if let Some(path) = &*LAST {
        std::fs::write(path, data).expect("the folder for the last input can be written");
    }
    target(data);
}
