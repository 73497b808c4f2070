//! Gives what the fuzzer makes up to [`plantd_harness::client`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| plantd_harness::client(bytes));
