//! The loop of a connection, one turn at a time.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    mem,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWrite},
    sync::mpsc::{self, OwnedPermit, error::SendError, error::TrySendError},
};

use super::{
    CloseReason, Connection, Notice, STALL_TIMEOUT,
    alarm::{Alarm, clock},
    outbox::{Backlog, Order},
    turn::Turn,
    write_queue::WriteQueue,
};
use crate::{Session, Stream, Violation, incoming::Incoming};

/// How long a peer may take to read the ERROR that it is closed with.
const ERROR_LINGER: Duration = Duration::from_secs(1);
/// A time that no owner means to wait for longer than, and that can be added to any other.
const MAX_LINGER: Duration = Duration::from_secs(24 * 60 * 60);
/// The reads that are thrown away in one turn of a connection that is being closed.
const DISCARDED_READS: usize = 4;

/// A running connection.
pub(super) struct Driver<K> {
    key: K,
    stream: Stream,
    session: Session,
    incoming: Incoming,
    orders: mpsc::UnboundedReceiver<Order>,
    /// What waits for the handshake.
    early: Vec<Order>,
    /// Marks that the peer cannot be asked for, and how much is written when each has come.
    unwritten_marks: VecDeque<(u64, u64)>,
    queue: WriteQueue,
    backlog: Backlog,
    /// When something was last written, or the queue last empty.
    written_at: Instant,
    paused: bool,
    reading: bool,
    /// What the owner has not been told; nothing is read while there is any.
    undelivered: VecDeque<Notice<K>>,
    notices: mpsc::Sender<Notice<K>>,
    room: Option<Room<K>>,
    alarm: Alarm,
    ending: Option<Ending>,
    /// The messages of the last turn that had any, as a guess at those of the next.
    last_messages: usize,
}

/// Waits for room in the channel of notices.
type Room<K> = Pin<Box<dyn Future<Output = Result<OwnedPermit<Notice<K>>, SendError<()>>> + Send>>;

/// A connection that only has to write what is queued.
#[derive(Debug)]
struct Ending {
    until: Instant,
    reason: CloseReason,
    flushed: bool,
}

/// What a turn leaves to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Something will wake the task.
    Wait,
    /// There is more to do at once, after others had their turn.
    Again,
}

impl<K: Copy + Send + 'static> Driver<K> {
    pub(super) fn new(connection: Connection, key: K, notices: mpsc::Sender<Notice<K>>) -> Self {
        let Connection {
            stream,
            config,
            orders,
            backlog,
        } = connection;
        let now = clock();
        Self {
            key,
            stream,
            session: Session::new(config, now),
            incoming: Incoming::new(),
            orders,
            early: Vec::new(),
            unwritten_marks: VecDeque::new(),
            queue: WriteQueue::new(backlog.clone()),
            backlog,
            written_at: now,
            paused: false,
            reading: true,
            undelivered: VecDeque::new(),
            notices,
            room: None,
            alarm: Alarm::default(),
            ending: None,
            last_messages: 0,
        }
    }

    /// Closes the socket, and gives what the owner has yet to be told.
    pub(super) fn into_undelivered(self) -> VecDeque<Notice<K>> {
        self.undelivered
    }

    /// Does what there is to do, within a turn's bounds; ready when the connection has ended.
    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        match self.turn(cx) {
            Ok(Next::Wait) => Poll::Pending,
            Ok(Next::Again) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Err(reason) => Poll::Ready(reason),
        }
    }

    /// The order matters: reading comes before deadlines, so that a process that was stopped hears
    /// its peers before it judges them, and all that there is to write is written at once.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<Next, CloseReason> {
        let now = clock();
        self.take_orders(cx, now)?;
        self.deliver(cx)?;
        let mut next = self.read(cx, now)?;
        if self.alarm.is_due(now) && self.ending.is_none() {
            self.session.handle_timeout(now, self.queue.is_empty())?;
        }
        self.write(cx, now)?;
        if !self.undelivered.is_empty() {
            self.deliver(cx)?;
            if self.undelivered.is_empty() && !self.reading && !self.paused {
                next = Next::Again;
            }
        }
        if self.alarm.set(cx, now, self.deadline()) {
            next = Next::Again;
        }
        Ok(next)
    }

    fn take_orders(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<(), CloseReason> {
        while self.ending.is_none() {
            match self.orders.poll_recv(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(None) => return Err(CloseReason::Abandoned),
                Poll::Ready(Some(
                    order @ (Order::Send(_) | Order::Subscriptions(_) | Order::Mark(_)),
                )) => self.queue_order(order, now),
                Poll::Ready(Some(Order::PauseReading)) => self.paused = true,
                Poll::Ready(Some(Order::ResumeReading)) => self.paused = false,
                Poll::Ready(Some(Order::Close { linger })) => {
                    self.end(now + linger.min(MAX_LINGER), CloseReason::Requested);
                }
            }
        }
        Ok(())
    }

    fn queue_order(&mut self, order: Order, now: Instant) {
        if !self.session.is_ready() {
            self.early.push(order);
            return;
        }
        self.note_beginning(now);
        self.queue_now(order);
    }

    fn queue_now(&mut self, order: Order) {
        match order {
            Order::Send(batch) => self.queue.push_batch(batch),
            Order::Subscriptions(changes) => {
                let encoded = self.session.encode_subscriptions(&changes);
                self.queue.push_bytes(encoded);
            }
            Order::Mark(mark) => match self.session.encode_mark(mark) {
                Some(ping) => self.queue.push_bytes(ping),
                None => {
                    let written_at = self.queue.pushed_bytes();
                    self.unwritten_marks.push_back((mark, written_at));
                }
            },
            Order::PauseReading | Order::ResumeReading | Order::Close { .. } => {}
        }
    }

    /// The time in which something must be written begins when there is something to write.
    fn note_beginning(&mut self, now: Instant) {
        if self.queue.is_empty() {
            self.written_at = now;
        }
    }

    fn end(&mut self, until: Instant, reason: CloseReason) {
        self.incoming = Incoming::new();
        self.ending = Some(Ending {
            until,
            reason,
            flushed: false,
        });
    }

    /// Tells the owner what there is to tell, as far as there is room.
    fn deliver(&mut self, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        while let Some(notice) = self.undelivered.pop_front() {
            if let Some(room) = &mut self.room {
                match room.as_mut().poll(cx) {
                    Poll::Pending => {
                        self.undelivered.push_front(notice);
                        return Ok(());
                    }
                    Poll::Ready(permit) => {
                        self.room = None;
                        permit.map_err(|_| CloseReason::Abandoned)?.send(notice);
                    }
                }
                continue;
            }
            match self.notices.try_send(notice) {
                Ok(()) => {}
                Err(TrySendError::Closed(_)) => return Err(CloseReason::Abandoned),
                Err(TrySendError::Full(notice)) => {
                    self.undelivered.push_front(notice);
                    self.room = Some(Box::pin(self.notices.clone().reserve_owned()));
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<Next, CloseReason> {
        if self.ending.is_some() {
            return self.discard(cx);
        }
        let reading = !self.paused && self.undelivered.is_empty();
        if reading != self.reading {
            self.reading = reading;
            self.session.handle_reading(reading, now);
        }
        if !reading {
            return Ok(Next::Wait);
        }
        let mut turn = Turn::new(self.last_messages);
        let outcome = self.read_turn(cx, now, &mut turn);
        if turn.message_count() > 0 {
            self.last_messages = turn.message_count();
        }
        self.undelivered.extend(turn.into_notices(self.key));
        match outcome {
            Err(CloseReason::Violation(refused @ Violation::SocketType { .. })) => {
                self.end(now + ERROR_LINGER, refused.into());
                Ok(Next::Wait)
            }
            other => other,
        }
    }

    fn read_turn(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        turn: &mut Turn,
    ) -> Result<Next, CloseReason> {
        loop {
            while let Some(event) = self.session.decode(&mut self.incoming)? {
                turn.push(event);
                if turn.is_full() {
                    return Ok(Next::Again);
                }
            }
            if turn.is_full() {
                return Ok(Next::Again);
            }
            match self.poll_read(cx)? {
                None => {
                    self.incoming.release();
                    return Ok(Next::Wait);
                }
                Some(read) => turn.handle_read(read),
            }
            self.session.handle_received(now);
        }
    }

    /// Reads once, and says how much; `None` if there is nothing to read. Waits for readiness
    /// before it makes room.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<Option<usize>, CloseReason> {
        if self.stream.poll_read_ready(cx)?.is_pending() {
            return Ok(None);
        }
        let buffer = self.incoming.room();
        let room = buffer.capacity() - buffer.len();
        match pin!(self.stream.read_buf(buffer)).poll(cx)? {
            Poll::Pending => Ok(None),
            Poll::Ready(0) => Err(CloseReason::PeerClosed),
            Poll::Ready(read) => {
                self.incoming.handle_read(read, room);
                Ok(Some(read))
            }
        }
    }

    /// Reads what a peer that is being closed still sends: a socket that is closed with bytes
    /// unread is reset, which can destroy what was written last.
    fn discard(&mut self, cx: &mut Context<'_>) -> Result<Next, CloseReason> {
        for _ in 0..DISCARDED_READS {
            match self.poll_read(cx) {
                Ok(Some(_)) => self.incoming = Incoming::new(),
                Ok(None) => {
                    self.incoming.release();
                    return Ok(Next::Wait);
                }
                Err(lost) => return Err(self.ended_early(lost)),
            }
        }
        Ok(Next::Again)
    }

    /// The reason of a connection that was to be closed and is gone.
    fn ended_early(&mut self, lost: CloseReason) -> CloseReason {
        match self.ending.take() {
            Some(ending) if ending.flushed || ending.reason != CloseReason::Requested => {
                ending.reason
            }
            Some(_) | None => lost,
        }
    }

    fn write(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<(), CloseReason> {
        let flushed = match self.write_queue(cx, now) {
            Ok(flushed) => flushed,
            Err(lost) => return Err(self.ended_early(lost)),
        };
        if self.backlog.take_fall() {
            self.undelivered
                .push_back(Notice::Drained { key: self.key });
        }
        self.take_written_marks();
        let Some(ending) = &mut self.ending else {
            return if !flushed && now >= self.written_at + STALL_TIMEOUT {
                Err(CloseReason::Stalled)
            } else {
                Ok(())
            };
        };
        if flushed && !ending.flushed {
            ending.flushed = true;
            // A socket that cannot be shut down is gone, which the next read will show.
            let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
        }
        if now >= ending.until {
            return Err(ending.expired());
        }
        Ok(())
    }

    fn take_written_marks(&mut self) {
        let mut marked = None;
        while let Some((mark, at)) = self.unwritten_marks.front()
            && self.queue.written_bytes() >= *at
        {
            marked = Some(*mark);
            self.unwritten_marks.pop_front();
        }
        if let Some(mark) = marked {
            let key = self.key;
            self.undelivered.push_back(Notice::Marked { key, mark });
        }
    }

    /// Writes what is queued; true if that was everything.
    fn write_queue(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, CloseReason> {
        loop {
            self.queue_transmit(now);
            let mut written = 0;
            let poll = self.queue.poll_write(cx, &mut self.stream, &mut written);
            if written > 0 || poll.is_ready() {
                self.written_at = now;
            }
            if poll?.is_pending() {
                return Ok(false);
            }
            if !self.session.has_transmit() {
                return Ok(true);
            }
        }
    }

    /// Queues what the session has to say, unless the peer does not take what is queued: so there
    /// is no more of it than the session itself keeps.
    fn queue_transmit(&mut self, now: Instant) {
        if self.queue.is_waiting() {
            return;
        }
        self.note_beginning(now);
        if let Some(bytes) = self.session.poll_transmit() {
            self.queue.push_bytes(bytes);
        }
        if self.session.is_ready() {
            for order in mem::take(&mut self.early) {
                self.queue_now(order);
            }
        }
    }

    /// When there is something to do if nothing else happens.
    fn deadline(&self) -> Option<Instant> {
        if let Some(ending) = &self.ending {
            return Some(ending.until);
        }
        let stalled = (!self.queue.is_empty()).then(|| self.written_at + STALL_TIMEOUT);
        self.session.poll_timeout().into_iter().chain(stalled).min()
    }
}

impl Ending {
    fn expired(&self) -> CloseReason {
        if self.reason == CloseReason::Requested && !self.flushed {
            return CloseReason::LingerExpired;
        }
        self.reason.clone()
    }
}

impl<K> fmt::Debug for Driver<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("stream", &self.stream)
            .field("session", &self.session)
            .field("ending", &self.ending)
            .finish_non_exhaustive()
    }
}
