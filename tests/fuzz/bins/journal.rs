//! The fuzzer of `targets/journal.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::journal::run(data));
