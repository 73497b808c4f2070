//! libzmq's own proxy: a bus that forwards publishers and subscriptions and does nothing else.

pub(super) fn run() -> anyhow::Result<()> {
    let context = zmq::Context::new();
    let (frontend, publishers) = super::bound(&context, zmq::XSUB)?;
    let (backend, subscribers) = super::bound(&context, zmq::XPUB)?;
    super::announce(&[publishers, subscribers])?;
    Ok(zmq::proxy(&frontend, &backend)?)
}
