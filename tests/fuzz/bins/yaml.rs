//! The fuzzer of `targets/yaml.rs`.
#![no_main]

use rollout_fuzz::{run, targets};

libfuzzer_sys::fuzz_target!(|data: &[u8]| run(targets::yaml::run, data));
