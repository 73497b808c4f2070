//! The client's `State` with the real daemon over a real broker, over both transports.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod caching;
mod example;
mod installation;
mod once;
mod routed;
mod sharded;
mod upkeep;
mod values;
mod watching;

/// Makes a test for each transport of each async function that takes one.
macro_rules! over_both_transports {
    ($($test:ident),* $(,)?) => {
        mod over_plantd {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                crate::in_time(super::$test(plantd_client::Transport::Plantd)).await;
            })*
        }
        mod over_zeromq {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                crate::in_time(super::$test(plantd_client::Transport::Zeromq)).await;
            })*
        }
    };
}
use over_both_transports;

/// Fails a test that would hang.
async fn in_time(test: impl Future<Output = ()>) {
    let ended = tokio::time::timeout(plantd_tests::PATIENCE, test).await;
    ended.expect("ends in time");
}
