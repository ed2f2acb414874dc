//! The fuzzer of `targets/remote.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::remote::run(data));
