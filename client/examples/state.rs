//! Keeps state, and watches it: `cargo run -p plantd-client --example state`; a broker elsewhere is its
//! argument.
#![expect(
    clippy::print_stdout,
    reason = "what is told is for whoever runs the example"
)]

use plantd_client::state::WatchItem;
use plantd_client::{Client, State};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let broker = std::env::args().nth(1);
    let client = Client::connect(broker.as_deref().unwrap_or("tcp://127.0.0.1:9797"))?;
    let plant = State::new(&client).scope("org.example.Plant");
    let written = plant.set("pump/1", &true).await?;
    let mut watch = plant.watch().from(written.version).start().await?;
    // Fails if somebody else has written it since.
    plant
        .set("pump/1", &false)
        .if_version(written.version)
        .await?;
    while let Some(item) = watch.next().await {
        if let WatchItem::Change(change) = item? {
            println!("{} is {:?} now", change.key, change.value);
            break;
        }
    }
    Ok(())
}
