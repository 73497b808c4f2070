//! A SUB and a PUB of the `zeromq` crate with a loop between them.

use zeromq::{PubSocket, Socket as _, SocketRecv as _, SocketSend as _, SubSocket};

#[tokio::main(flavor = "current_thread")]
pub(super) async fn run() -> anyhow::Result<()> {
    let mut frontend = SubSocket::new();
    let mut backend = PubSocket::new();
    let publishers = frontend.bind("tcp://127.0.0.1:0").await?;
    frontend.subscribe("").await?;
    let subscribers = backend.bind("tcp://127.0.0.1:0").await?;
    super::announce(&[publishers.to_string(), subscribers.to_string()])?;
    loop {
        backend.send(frontend.recv().await?).await?;
    }
}
