//! The fuzzer of `targets/journal.rs`.
#![no_main]

use rollout_fuzz::{run, targets};

libfuzzer_sys::fuzz_target!(|data: &[u8]| run(targets::journal::run, data));
