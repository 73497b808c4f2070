//! A TCP proxy that is unkind by a seed: it delays, stalls, splits, cuts, half-closes and resets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::dice::Dice;

/// The most that is forwarded at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// A proxy before one broker, kind until it [storms](Self::storms).
pub(crate) struct Proxy {
    endpoint: String,
    weather: Arc<Weather>,
    accepting: JoinHandle<()>,
}

/// What all connections look at.
#[derive(Default)]
struct Weather {
    is_stormy: AtomicBool,
    strikes: AtomicU64,
}

/// What befalls one direction of a connection.
#[derive(Debug, Clone, Copy)]
enum Mischief {
    Nothing,
    /// Each read waits for so long.
    Latency(Duration),
    /// Every byte is written by itself.
    OneByteEach,
    /// After so many bytes nothing passes for so long.
    Stall(usize, Duration),
    /// After so many bytes both directions end, in the middle of whatever was sent.
    Truncate(usize),
    /// After so many bytes this direction ends, and the other goes on.
    HalfClose(usize),
    /// After so many bytes both ends see a reset.
    Reset(usize),
}

impl Mischief {
    fn by(dice: &mut Dice) -> Self {
        let after = dice.count(1..=20_000);
        match dice.count(0..=9) {
            0..=2 => Self::Nothing,
            3 => Self::Latency(dice.milliseconds(1..=80)),
            4 | 5 => Self::OneByteEach,
            6 => Self::Stall(after, dice.milliseconds(100..=7000)),
            7 => Self::Truncate(after),
            8 => Self::HalfClose(after),
            _ => Self::Reset(after),
        }
    }
}

/// How a direction went on.
enum Passage {
    Open,
    /// This direction is over.
    Half,
    Over,
    Broken,
}

impl Proxy {
    /// Listens on a free port, before the broker at this address.
    pub(crate) async fn start(broker: String, mut dice: Dice) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address: SocketAddr = listener.local_addr().expect("a listener has an address");
        let weather = Arc::new(Weather::default());
        let seen = Arc::clone(&weather);
        let accepting = tokio::spawn(async move {
            while let Ok((peer, _)) = listener.accept().await {
                let mischief = [Mischief::by(&mut dice), Mischief::by(&mut dice)];
                tokio::spawn(connect(peer, broker.clone(), mischief, Arc::clone(&seen)));
            }
        });
        Self {
            endpoint: format!("tcp://{address}"),
            weather,
            accepting,
        }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Forwards everything as it comes from here on.
    pub(crate) fn calms(&self) {
        self.weather.is_stormy.store(false, Ordering::Relaxed);
    }

    /// Is unkind from here on.
    pub(crate) fn storms(&self) {
        self.weather.is_stormy.store(true, Ordering::Relaxed);
    }

    /// How often something befell a connection.
    pub(crate) fn strikes(&self) -> u64 {
        self.weather.strikes.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn connect(peer: TcpStream, broker: String, mischief: [Mischief; 2], weather: Arc<Weather>) {
    // A broker that is down refuses, and so does the proxy.
    let Ok(broker) = TcpStream::connect(broker).await else {
        return;
    };
    for stream in [&peer, &broker] {
        let _slower = stream.set_nodelay(true);
    }
    let (from_peer, to_peer) = peer.into_split();
    let (from_broker, to_broker) = broker.into_split();
    let up = Direction::new(from_peer, to_broker, mischief[0], &weather);
    let down = Direction::new(from_broker, to_peer, mischief[1], &weather);
    // Each direction is a task, so that half of a connection can end and the other go on.
    let (mut up, mut down) = (tokio::spawn(up.pass()), tokio::spawn(down.pass()));
    let (ended, other) = tokio::select! {
        ended = &mut up => (ended, &mut down),
        ended = &mut down => (ended, &mut up),
    };
    match ended {
        Ok((Passage::Half, _kept)) => {
            let _over = other.await;
        }
        // What the kernel held back is thrown away, and whoever sends gets an RST.
        Ok((Passage::Broken, direction)) => {
            direction.resets();
            other.abort();
        }
        Ok((Passage::Open | Passage::Over, _)) | Err(_) => other.abort(),
    }
}

struct Direction {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    mischief: Mischief,
    weather: Arc<Weather>,
    passed: usize,
}

impl Direction {
    fn new(
        from: OwnedReadHalf,
        to: OwnedWriteHalf,
        mischief: Mischief,
        weather: &Arc<Weather>,
    ) -> Self {
        Self {
            from,
            to,
            mischief,
            weather: Arc::clone(weather),
            passed: 0,
        }
    }

    /// Forwards until the end; the direction comes back, so that its halves are not closed yet.
    async fn pass(mut self) -> (Passage, Self) {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = match self.from.read(&mut chunk).await {
                Ok(0) => {
                    let _over = self.to.shutdown().await;
                    return (Passage::Half, self);
                }
                Ok(read) => read,
                Err(_) => return (Passage::Broken, self),
            };
            match self.forward(&chunk[..read]).await {
                Passage::Open => self.passed += read,
                passage @ (Passage::Half | Passage::Over | Passage::Broken) => {
                    return (passage, self);
                }
            }
        }
    }

    async fn forward(&mut self, chunk: &[u8]) -> Passage {
        let mischief = if self.weather.is_stormy.load(Ordering::Relaxed) {
            self.mischief
        } else {
            Mischief::Nothing
        };
        let is_due = |after: usize| self.passed <= after && after < self.passed + chunk.len();
        match mischief {
            Mischief::Latency(time) => {
                self.strikes();
                sleep(time).await;
            }
            Mischief::OneByteEach => {
                self.strikes();
                // As many as make a handshake and a few messages; a megabyte would take minutes.
                let (slowly, rest) = chunk.split_at(chunk.len().min(512));
                for byte in slowly.chunks(1) {
                    if self.to.write_all(byte).await.is_err() {
                        return Passage::Over;
                    }
                    tokio::task::yield_now().await;
                }
                return self.write(rest).await;
            }
            Mischief::Stall(after, time) if is_due(after) => {
                self.strikes();
                sleep(time).await;
            }
            Mischief::Truncate(after) if is_due(after) => {
                self.strikes();
                let _either = self.write(&chunk[..after - self.passed]).await;
                return Passage::Over;
            }
            Mischief::HalfClose(after) if is_due(after) => {
                self.strikes();
                let _over = self.to.shutdown().await;
                return Passage::Half;
            }
            Mischief::Reset(after) if is_due(after) => {
                self.strikes();
                return Passage::Broken;
            }
            Mischief::Nothing
            | Mischief::Stall(..)
            | Mischief::Truncate(_)
            | Mischief::HalfClose(_)
            | Mischief::Reset(_) => {}
        }
        self.write(chunk).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Passage {
        match self.to.write_all(bytes).await {
            Ok(()) => Passage::Open,
            Err(_) => Passage::Over,
        }
    }

    fn strikes(&self) {
        self.weather.strikes.fetch_add(1, Ordering::Relaxed);
    }

    fn resets(&self) {
        for stream in [self.from.as_ref(), self.to.as_ref()] {
            let socket = socket2::SockRef::from(stream);
            let _softer = socket.set_linger(Some(Duration::ZERO));
        }
    }
}
