//! The fuzzer of `targets/inventory.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::inventory::run(data));
