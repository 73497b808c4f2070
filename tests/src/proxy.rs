//! A bus that is not ours: an XSUB, an XPUB, and libzmq's own proxy between them.

use std::thread::JoinHandle;

/// A running proxy, which ends when it is dropped.
pub struct Proxy {
    frontend: String,
    backend: String,
    control: zmq::Socket,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts on free ports.
    pub fn start() -> Self {
        Self::start_at("tcp://127.0.0.1:*", "tcp://127.0.0.1:*", 100_000)
    }

    /// Starts at these endpoints. What waits for one subscriber beyond this many messages is dropped.
    #[track_caller]
    pub fn start_at(frontend: &str, backend: &str, high_water_mark: i32) -> Self {
        let context = zmq::Context::new();
        let bound = |kind, endpoint: &str| {
            let socket = context.socket(kind)?;
            socket.set_linger(0)?;
            socket.set_sndhwm(high_water_mark)?;
            socket.bind(endpoint)?;
            Ok::<_, zmq::Error>(socket)
        };
        let open = || -> zmq::Result<_> {
            let frontend = bound(zmq::XSUB, frontend)?;
            let backend = bound(zmq::XPUB, backend)?;
            let controlled = context.socket(zmq::PAIR)?;
            controlled.bind("inproc://control")?;
            let control = context.socket(zmq::PAIR)?;
            control.connect("inproc://control")?;
            Ok((frontend, backend, controlled, control))
        };
        let (mut frontend, mut backend, mut controlled, control) = open().expect("libzmq binds");
        let endpoint = |socket: &zmq::Socket| {
            let endpoint = socket.get_last_endpoint().expect("it is bound");
            endpoint.expect("an endpoint is text")
        };
        let endpoints = (endpoint(&frontend), endpoint(&backend));
        let thread = std::thread::spawn(move || {
            let ended = zmq::proxy_steerable(&mut frontend, &mut backend, &mut controlled);
            ended.expect("the proxy ends when it is told to");
        });
        Self {
            frontend: endpoints.0,
            backend: endpoints.1,
            control,
            thread: Some(thread),
        }
    }

    /// Where publishers connect.
    pub fn frontend(&self) -> &str {
        &self.frontend
    }

    /// Where subscribers connect.
    pub fn backend(&self) -> &str {
        &self.backend
    }

    /// Stops, and frees the ports.
    pub fn stop(mut self) -> (String, String) {
        self.end();
        (self.frontend.clone(), self.backend.clone())
    }

    /// Passes nothing on until [`Proxy::resume`].
    pub fn pause(&self) {
        self.control.send("PAUSE", 0).expect("the proxy listens");
    }

    /// Goes on after [`Proxy::pause`].
    pub fn resume(&self) {
        self.control.send("RESUME", 0).expect("the proxy listens");
    }

    fn end(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.control
                .send("TERMINATE", 0)
                .expect("the proxy listens");
            thread.join().expect("the proxy ends well");
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.end();
    }
}
