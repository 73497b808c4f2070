//! The client library with the real broker, over both of its transports.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod answers;
mod half_open;
mod restarts;
mod serving;
mod streams;
mod workers;

use plantd_client::{Client, Transport};

/// Makes a test for each transport of each function that takes one.
macro_rules! over_both_transports {
    ($($test:ident),* $(,)?) => {
        mod over_plantd {
            $(#[test]
            fn $test() {
                super::$test(plantd_client::Transport::Plantd);
            })*
        }
        mod over_zeromq {
            $(#[test]
            fn $test() {
                super::$test(plantd_client::Transport::Zeromq);
            })*
        }
    };
}
use over_both_transports;

/// A client that is connected.
async fn connected(transport: Transport, brokers: &[&str]) -> Client {
    let client = Client::builder().brokers(brokers).transport(transport);
    let client = client.connect().unwrap();
    client.connected().await.unwrap();
    client
}
