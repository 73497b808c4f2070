//! The brokers that this program runs itself, each in a process of its own.

mod libzmq_forward;
mod libzmq_mdp;
mod libzmq_proxy;
mod plantd;
mod state;
mod zeromq_bus;
mod zeromq_forward;

use std::io::{self, Write as _};

use crate::cli::OwnBroker;

/// What a broker writes before its address when it is bound.
pub(crate) const LISTENING: &str = "listening on ";

/// What a worker of a loop that forwards sends first.
const WORKER: &[u8] = b"MDPW03";

/// Runs a broker until it is killed.
pub(crate) fn run(broker: OwnBroker) -> anyhow::Result<()> {
    match broker {
        OwnBroker::Plantd => plantd::run(),
        OwnBroker::PlantdState => state::run(),
        OwnBroker::LibzmqMdp => libzmq_mdp::run(),
        OwnBroker::LibzmqForward => libzmq_forward::run(),
        OwnBroker::ZeromqForward => zeromq_forward::run(),
        OwnBroker::LibzmqProxy => libzmq_proxy::run(),
        OwnBroker::ZeromqBus => zeromq_bus::run(),
    }
}

/// Tells who started this process where the broker listens: one address, or a bus's two sides.
fn announce(endpoints: &[String]) -> io::Result<()> {
    let addresses = endpoints.iter();
    let addresses: Vec<&str> = addresses
        .map(|endpoint| endpoint.trim_start_matches("tcp://"))
        .collect();
    writeln!(io::stdout(), "{LISTENING}{}", addresses.join(" "))
}

/// A libzmq ROUTER on a free port, that drops nothing.
fn router() -> anyhow::Result<zmq::Socket> {
    let (socket, endpoint) = bound(&zmq::Context::new(), zmq::ROUTER)?;
    announce(std::slice::from_ref(&endpoint))?;
    Ok(socket)
}

/// A libzmq socket on a free port, that drops nothing, and its endpoint.
fn bound(context: &zmq::Context, kind: zmq::SocketType) -> anyhow::Result<(zmq::Socket, String)> {
    let socket = context.socket(kind)?;
    socket.set_rcvhwm(0)?;
    socket.set_sndhwm(0)?;
    socket.bind("tcp://127.0.0.1:*")?;
    let endpoint = socket.get_last_endpoint()?;
    let endpoint = endpoint.map_err(|_| anyhow::anyhow!("libzmq's endpoint is no text"))?;
    Ok((socket, endpoint))
}
