//! Serves `org.example.Upper` until Ctrl-C: `cargo run -p plantd-client --example serve`.

use plantd_client::{Request, Worker};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let worker = Worker::builder("org.example.Upper")
        .broker("tcp://127.0.0.1:9797")
        .build()?;
    let upper = |request: Request| async move { Ok(request.body().text()?.to_uppercase()) };
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    worker.serve(upper, stop).await;
    Ok(())
}
