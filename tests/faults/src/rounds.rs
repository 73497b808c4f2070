//! The kinds of faults, and how each strikes.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::attack::{Greed, Greedy, all_closed, half_handshakes, room_for_peers};
use crate::bus_load::{BusLoad, deaf};
use crate::checker::{Outcome, Records};
use crate::ledger::executions;
use crate::load::Load;
use crate::scene::{Scene, Setting};

/// Connections that never finish their handshake.
const HALF_HANDSHAKES: usize = 5000;
/// How long an answer is waited for that may have been lost with its connection: longer than the
/// broker's queue time and a worker's expiry.
const PATIENCE_WHERE_CUT: Duration = Duration::from_secs(8);
/// What is told to the broker as `memory_limit` where memory is short.
const MEMORY_LIMIT_BYTES: u64 = 64 << 20;
/// What a broker has beside what `memory_limit` counts: its program, what it reads at once from
/// each peer, and what its allocator keeps.
const BESIDE_LIMIT_BYTES: u64 = 96 << 20;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Round {
    /// Workers are killed and replaced.
    WorkersKilled,
    /// The broker is killed and started again.
    BrokerKilled,
    /// Workers and the broker are stopped for a while.
    Stopped,
    /// Peers come by a proxy that is unkind.
    Proxy,
    /// The broker has few descriptors, and many want one.
    Descriptors,
    /// Thousands of connections never finish their handshake.
    HalfHandshakes,
    /// Clients never read what they have asked for.
    Unread,
    /// More is sent than `memory_limit` allows.
    Memory,
    /// A broker with a bus is killed, and subscribers never read.
    Bus,
    /// All that kills, stops and cuts, together.
    Everything,
}

impl Round {
    /// Every kind.
    pub const ALL: &[Self] = &[
        Self::WorkersKilled,
        Self::BrokerKilled,
        Self::Stopped,
        Self::Proxy,
        Self::Descriptors,
        Self::HalfHandshakes,
        Self::Unread,
        Self::Memory,
        Self::Bus,
        Self::Everything,
    ];

    fn setting(self) -> Setting {
        match self {
            Self::WorkersKilled | Self::BrokerKilled | Self::Stopped => Setting::default(),
            Self::HalfHandshakes => Setting::default(),
            Self::Proxy | Self::Everything => Setting {
                is_proxied: true,
                ..Setting::default()
            },
            Self::Bus => Setting {
                has_bus: true,
                ..Setting::default()
            },
            Self::Descriptors => Setting {
                descriptors: Some(128),
                ..Setting::default()
            },
            Self::Unread => Setting {
                arguments: &["--limits-outbox", "1MiB", "--limits-outbox-max", "8MiB"],
                is_flooded: true,
                ..Setting::default()
            },
            Self::Memory => Setting {
                arguments: &["--memory-limit", "64MiB"],
                is_flooded: true,
                ..Setting::default()
            },
        }
    }

    /// Whether who asks only once cannot know what became of all.
    fn cuts(self) -> bool {
        match self {
            Self::BrokerKilled | Self::Proxy | Self::Bus | Self::Everything => true,
            Self::WorkersKilled
            | Self::Stopped
            | Self::Descriptors
            | Self::HalfHandshakes
            | Self::Unread
            | Self::Memory => false,
        }
    }

    /// Strikes until the time is over.
    fn strikes(self, scene: &mut Scene, time: Duration) -> Result<(), String> {
        match self {
            Self::WorkersKilled => again(scene, time, |scene| {
                scene.rests(50..=500);
                scene.kill_worker();
            }),
            Self::BrokerKilled => again(scene, time, |scene| {
                scene.rests(300..=1500);
                scene.kill_broker();
            }),
            Self::Stopped => again(scene, time, |scene| {
                scene.rests(50..=500);
                stop_somebody(scene);
            }),
            Self::Proxy => scene.waits(time),
            Self::Bus => {
                let mut deaf_ones = Vec::new();
                again(scene, time, |scene| {
                    deaf_ones.extend(scene.bus.as_ref().map(deaf));
                    scene.rests(500..=2000);
                    scene.kill_broker();
                });
            }
            Self::Everything => again(scene, time, |scene| {
                scene.rests(200..=1000);
                match scene.dice.count(0..=5) {
                    0 => scene.kill_broker(),
                    1 | 2 => scene.kill_worker(),
                    3 => stop_somebody(scene),
                    _ => {}
                }
            }),
            Self::Descriptors => crowd(scene, time, 300)?,
            Self::HalfHandshakes => crowd(scene, time, HALF_HANDSHAKES.min(room_for_peers()))?,
            Self::Unread => besieged(scene, time, &[Greed::NeverReads; 3]),
            Self::Memory => {
                let greeds = [Greed::NeverReads, Greed::FillsQueues];
                besieged(scene, time, &[greeds, greeds, greeds].concat());
                let peak = scene.peak_bytes();
                if peak > MEMORY_LIMIT_BYTES + BESIDE_LIMIT_BYTES {
                    let mib = peak >> 20;
                    return Err(format!(
                        "the broker had {mib} MiB at a memory_limit of 64 MiB"
                    ));
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WorkersKilled => "workers-killed",
            Self::BrokerKilled => "broker-killed",
            Self::Stopped => "stopped",
            Self::Proxy => "proxy",
            Self::Descriptors => "descriptors",
            Self::HalfHandshakes => "half-handshakes",
            Self::Unread => "unread",
            Self::Memory => "memory",
            Self::Bus => "bus",
            Self::Everything => "everything",
        })
    }
}

/// Plays one round, for about this long and until all is mended.
///
/// `program` is the `faults` program, which is broker and workers as well.
pub fn play(round: Round, program: &Path, seed: u64, time: Duration) -> Outcome {
    // What is started inherits the limit.
    room_for_peers();
    let began = clock();
    let mut scene = Scene::new(program, round.setting(), seed);
    let mut violations = Vec::from_iter(scene.recovers().err());
    if let Some(proxy) = &scene.proxy {
        proxy.storms();
    }
    let patience = if round.cuts() {
        PATIENCE_WHERE_CUT
    } else {
        plantd_tests::PATIENCE
    };
    let bus = scene.bus.clone();
    let bus_load = bus.map(|ports| BusLoad::start(&scene, &ports));
    let load = Load::start(&mut scene, patience);
    violations.extend(round.strikes(&mut scene, time).err());
    if !scene.broker_lives() {
        violations.push("the broker has ended by itself".to_owned());
    }
    load.end(&scene);
    let bus = bus_load.map(|load| load.end(&scene)).transpose();
    violations.extend(scene.recovers().err());
    let records = Records {
        requests: scene.ledger.requests().clone(),
        executions: executions(&scene.journal()).expect("workers write lines"),
        is_cut: round.cuts(),
    };
    let mut outcome = records.check(round, clock() - began);
    outcome.violations.extend(violations);
    outcome.strikes = scene.strikes + scene.proxy.as_ref().map_or(0, |proxy| proxy.strikes());
    match bus {
        Ok(figures) => outcome.bus = figures,
        Err(violation) => outcome.violations.push(violation),
    }
    outcome.peak_bytes = scene.peak_bytes();
    outcome
}

fn again(scene: &mut Scene, time: Duration, mut strike: impl FnMut(&mut Scene)) {
    let end = clock() + time;
    while clock() < end {
        strike(scene);
    }
}

fn stop_somebody(scene: &mut Scene) {
    let time = if scene.dice.chance(70) {
        scene.dice.milliseconds(20..=800)
    } else {
        scene.dice.milliseconds(800..=6000)
    };
    if scene.dice.chance(50) {
        scene.stop_worker(time);
    } else {
        scene.stop_broker(time);
    }
}

/// Many connections come, say little, and are closed in time.
fn crowd(scene: &mut Scene, time: Duration, count: usize) -> Result<(), String> {
    let end = clock() + time;
    loop {
        let endpoint = scene.endpoint().to_owned();
        let streams = half_handshakes(&endpoint, count, &mut scene.dice);
        scene.strikes += streams.len() as u64;
        all_closed(streams, plantd_tests::PATIENCE)?;
        if clock() >= end {
            return Ok(());
        }
    }
}

fn besieged(scene: &mut Scene, time: Duration, greeds: &[Greed]) {
    scene.strikes += greeds.len() as u64;
    let greedy = Greedy::start(scene.endpoint(), greeds);
    scene.waits(time);
    greedy.end();
}

#[expect(clippy::disallowed_methods, reason = "rounds are played by the clock")]
fn clock() -> Instant {
    Instant::now()
}
