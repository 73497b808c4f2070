//! The subscriber side of a bus, as libzmq has it.

use zmq::{Context, Socket};

/// A metric, as the bus carries it.
pub(crate) fn metric(name: &str, value: u64) -> String {
    metric_at(jiff::Timestamp::now(), name, value)
}

/// The same of another time.
pub(crate) fn metric_at(timestamp: jiff::Timestamp, name: &str, value: u64) -> String {
    format!(
        r#"{{"timestamp":"{timestamp}","service":"test","name":"{name}","value":{value},"units":"bytes","tags":{{"host":"a"}}}}"#
    )
}

/// Publishes to whoever subscribes.
pub(crate) struct Bus {
    socket: Socket,
    endpoint: String,
}

impl Bus {
    pub(crate) fn start() -> Self {
        let socket = Context::new().socket(zmq::XPUB).unwrap();
        // What is published waits for its reader instead of being dropped.
        socket.set_sndhwm(0).unwrap();
        socket.set_linger(0).unwrap();
        // A subscription is told also when that of a logger that was killed is still there.
        socket.set_xpub_verbose(true).unwrap();
        socket.bind("tcp://127.0.0.1:*").unwrap();
        let endpoint = socket.get_last_endpoint().unwrap().unwrap();
        Self { socket, endpoint }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Waits for a subscription, and returns its topic.
    pub(crate) fn subscription(&self) -> String {
        loop {
            let message = self.socket.recv_bytes(0).unwrap();
            if let Some((1, topic)) = message.split_first() {
                return String::from_utf8(topic.to_vec()).unwrap();
            }
        }
    }

    /// Publishes as any program does: a topic and a payload.
    pub(crate) fn publish(&self, topic: &str, payload: impl AsRef<[u8]>) {
        let frames = [topic.as_bytes(), payload.as_ref()];
        self.socket.send_multipart(frames, 0).unwrap();
    }

    /// Publishes metrics of this name with the values of a range.
    pub(crate) fn publish_metrics(&self, name: &str, values: std::ops::Range<u64>) {
        for value in values {
            self.publish(
                &format!("org.plantd.metric.test.{name}"),
                metric(name, value),
            );
        }
    }

    /// Publishes frames as they are.
    pub(crate) fn send(&self, frames: &[&[u8]]) {
        self.socket.send_multipart(frames, 0).unwrap();
    }
}
