//! Gives what the fuzzer makes up to [`plantd_harness::mdp03`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| plantd_harness::mdp03(bytes));
