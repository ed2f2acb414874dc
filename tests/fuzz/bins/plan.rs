//! The fuzzer of `targets/plan.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::plan::run(data));
