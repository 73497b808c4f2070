//! Prints what is published on the event bus: `cargo run -p plantd-client --example subscribe`.
#![expect(
    clippy::print_stdout,
    reason = "what is published is for whoever runs the example"
)]

use plantd_client::{Sink, SinkEvent};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut sink = Sink::connect("tcp://127.0.0.1:12001")?;
    sink.subscribe("org.example.")?;
    while let Some(event) = sink.next().await {
        match event {
            SinkEvent::Message(it) => println!("{}: {}", it.topic, it.body.text()?),
            SinkEvent::Gap(gap) => println!("{}: missed {}", gap.topic, gap.missed),
        }
    }
    Ok(())
}
