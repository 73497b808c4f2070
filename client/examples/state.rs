//! Keeps state, and watches it: `cargo run -p plantd-client --example state`.
#![expect(
    clippy::print_stdout,
    reason = "what is told is for whoever runs the example"
)]

use plantd_client::state::WatchItem;
use plantd_client::{Client, State};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::connect("tcp://127.0.0.1:9797")?;
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
