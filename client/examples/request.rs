//! Asks the echo service: `cargo run -p plantd-client --example request`.
#![expect(
    clippy::print_stdout,
    reason = "the answer is for whoever runs the example"
)]

use std::time::Duration;

use plantd_client::Client;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::connect("tcp://127.0.0.1:9797")?;
    let request = client.request("org.plantd.module.Echo", "hello");
    let reply = request.timeout(Duration::from_secs(5)).await?;
    println!("{}", reply.body.text()?);
    Ok(())
}
