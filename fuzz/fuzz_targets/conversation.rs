//! Gives what the fuzzer makes up to [`plantd_harness::conversation`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| plantd_harness::conversation(bytes));
