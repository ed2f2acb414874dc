//! The fuzzer of `targets/plan.rs`.
#![no_main]

use rollout_fuzz::{run, targets};

libfuzzer_sys::fuzz_target!(|data: &[u8]| run(targets::plan::run, data));
