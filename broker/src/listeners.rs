//! Accepting connections, a task an endpoint.

use std::time::{Duration, Instant};

use plantd_daemon::logs::Throttle;
use plantd_zmtp::{Listener, RemoteAddress, Stream};
use tokio::sync::mpsc;

/// How long a listener waits after it could not accept, which means that descriptors are used up.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection that nobody has looked at.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// Which of its owner's listeners it came to.
    pub(crate) door: usize,
    pub(crate) stream: Stream,
    pub(crate) remote: RemoteAddress,
}

/// Accepts until the owner of the connections is gone; `door` is the listener's number.
pub(crate) async fn accept(listener: Listener, door: usize, arrivals: mpsc::Sender<Arrival>) {
    let mut throttle = Throttle::per_second();
    loop {
        // A place first: what nobody can take in is left to the kernel's queue.
        let Ok(place) = arrivals.reserve().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, remote)) => place.send(Arrival {
                door,
                stream,
                remote,
            }),
            Err(error) => {
                if let Some(suppressed) = throttle.allow(error.kind() as u8, clock()) {
                    tracing::error!(
                        context = "listener.accept",
                        endpoint = %listener.endpoint(),
                        suppressed,
                        "cannot accept connections: {error}"
                    );
                }
                drop(place);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one clock of this loop")]
fn clock() -> Instant {
    Instant::now()
}
