//! A connected socket, TCP or Unix.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream, lookup_host},
};

use crate::Endpoint;

/// How long a TCP connection is idle before the kernel asks whether the other end is there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
/// The time between two such questions.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// The unanswered questions that end the connection.
const KEEPALIVE_PROBES: u32 = 3;

/// A connected socket.
#[derive(Debug)]
pub struct Stream(Socket);

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Ipc(UnixStream),
}

impl Stream {
    /// Connects to an endpoint, trying each address of its name in turn. There is no deadline but
    /// the kernel's: callers have their own.
    ///
    /// # Errors
    /// That of the last address; [`InvalidInput`](io::ErrorKind::InvalidInput) if the endpoint is
    /// one to listen at (`*` or port 0).
    pub async fn connect(endpoint: &Endpoint) -> io::Result<Self> {
        let dialable = endpoint.check_dialable();
        dialable.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        match endpoint {
            Endpoint::Tcp { host, port } => connect_tcp(host, *port).await,
            Endpoint::Ipc { path } => Ok(UnixStream::connect(path).await?.into()),
        }
    }

    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Socket::Tcp(stream) => stream.poll_read_ready(cx),
            Socket::Ipc(stream) => stream.poll_read_ready(cx),
        }
    }
}

async fn connect_tcp(host: &str, port: u16) -> io::Result<Stream> {
    let mut last_error = io::Error::new(
        io::ErrorKind::NotFound,
        format!("the name {host} has no address"),
    );
    for address in lookup_host((host, port)).await? {
        match TcpStream::connect(address).await {
            // A port in the ephemeral range that nobody listens at can be connected to itself.
            Ok(stream) if stream.local_addr()? == stream.peer_addr()? => {
                last_error = io::ErrorKind::ConnectionRefused.into();
            }
            Ok(stream) => return Stream::from_tcp(stream),
            Err(error) => last_error = error,
        }
    }
    Err(last_error)
}

impl Stream {
    pub(crate) fn from_tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let keepalive = TcpKeepalive::new()
            .with_time(KEEPALIVE_IDLE)
            .with_interval(KEEPALIVE_INTERVAL)
            .with_retries(KEEPALIVE_PROBES);
        SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        Ok(Self(Socket::Tcp(stream)))
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self(Socket::Ipc(stream))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Socket::Ipc(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Socket::Ipc(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Socket::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Socket::Ipc(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Ipc(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
