//! The workers of a load: one thread that answers every request of every worker.

use std::io::{ErrorKind, Write as _};
use std::net::TcpStream;
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, anyhow, bail};
use rustix::buffer::spare_capacity;
use rustix::event::epoll;

use super::case::Case;
use super::script::{Language, Part, Script};
use crate::inbound::Inbound;

/// The workers' thread, which ends when the broker closes their connections.
#[derive(Debug)]
pub(crate) struct Workers {
    thread: JoinHandle<anyhow::Result<()>>,
}

/// A worker.
struct Worker {
    stream: TcpStream,
    part: Part,
    inbound: Inbound,
}

impl Workers {
    /// Connects the workers of a case, in turn to each service.
    pub(crate) fn start(
        language: Language,
        address: &str,
        case: &Case,
        script: &Script,
    ) -> anyhow::Result<Self> {
        let mut workers = Vec::new();
        for index in 0..case.workers {
            let service = index % case.services;
            let stream = language.worker(address, service);
            workers.push(Worker {
                stream: stream.context("connect a worker")?,
                part: script.parts[service].clone(),
                inbound: Inbound::new(),
            });
        }
        let thread = thread::Builder::new().name("workers".to_owned());
        Ok(Self {
            thread: thread.spawn(move || serve(workers))?,
        })
    }

    /// Waits for the end of the thread, which needs the end of the broker.
    pub(crate) fn join(self) -> anyhow::Result<()> {
        let ended = self.thread.join();
        ended.map_err(|_| anyhow!("the workers' thread panicked"))?
    }
}

fn serve(mut workers: Vec<Worker>) -> anyhow::Result<()> {
    let mut answers = Vec::new();
    if let [only] = workers.as_mut_slice() {
        while only.answer(&mut answers)? {}
        return Ok(());
    }
    let ready = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for (index, worker) in workers.iter().enumerate() {
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&ready, &worker.stream, data, epoll::EventFlags::IN)?;
    }
    let mut events = Vec::with_capacity(workers.len());
    loop {
        epoll::wait(&ready, spare_capacity(&mut events), None)?;
        for event in events.drain(..) {
            let index = event.data.u64() as usize;
            if !workers[index].answer(&mut answers)? {
                return Ok(());
            }
        }
    }
}

impl Worker {
    /// Reads once and answers every request of it; false when the connection has ended.
    fn answer(&mut self, answers: &mut Vec<u8>) -> anyhow::Result<bool> {
        match self.inbound.read_from(&mut self.stream) {
            Ok(0) => return Ok(false),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(false),
            Err(error) => return Err(error).context("a worker reads"),
        }
        let Part {
            request,
            reply,
            repeated,
            repeated_at,
            interlude,
        } = &self.part;
        answers.clear();
        while let Some(message) = self
            .inbound
            .next(request.size(), interlude.as_ref(), answers)
        {
            if !request.begins(message) {
                bail!("no request: {}", message.escape_ascii());
            }
            reply.append_with(*repeated_at, &message[repeated.clone()], answers);
        }
        // A broker that is gone shows at the next read.
        Ok(self.stream.write_all(answers).is_ok())
    }
}
