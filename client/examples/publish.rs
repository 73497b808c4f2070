//! Publishes on the event bus: `cargo run -p plantd-client --example publish`.

use plantd_client::Source;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let source = Source::connect("tcp://127.0.0.1:12000")?;
    source.publish("org.example.greeting", "hello")?;
    source.flush().await?; // until the broker has read it
    Ok(())
}
