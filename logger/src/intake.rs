//! From the bus into the spool: messages become metrics, metrics become batches.

use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use plantd_client::{Publication, Sink, SinkEvent};
use plantd_daemon::logs::Throttle;
use tokio::time::sleep_until;

use crate::batch::OpenBatch;
use crate::metric::{Metric, Reason, Refusal, Window};
use crate::metrics::Published;
use crate::spool;

/// Beyond this a batch is closed, however few metrics it has.
const BATCH_BYTES: usize = 4 << 20;

/// Puts what is heard into the spool.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) retention: Option<Duration>,
    pub(crate) batch_metrics: usize,
    pub(crate) batch_interval: Duration,
    pub(crate) spool: spool::Handle,
    pub(crate) published: Published,
    pub(crate) open: OpenBatch,
    pub(crate) throttle: Throttle<Reason>,
}

impl Intake {
    /// Takes until `stop` is done. What was taken by then is in the spool.
    pub(crate) async fn run(mut self, mut sink: Sink, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut due = pin!(tokio::time::sleep(self.batch_interval));
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = &mut due, if self.open.count() > 0 => self.close().await,
                event = sink.next() => match event {
                    Some(SinkEvent::Message(message)) => {
                        #[expect(clippy::disallowed_methods, reason = "the one clock of this loop")]
                        let now = Instant::now();
                        if self.open.count() == 0 {
                            due.set(sleep_until((now + self.batch_interval).into()));
                        }
                        self.take(&message, now);
                        if self.is_full() {
                            self.close().await;
                        }
                    }
                    Some(SinkEvent::Gap(gap)) => self.published.gap(gap.missed),
                    None => break,
                }
            }
        }
        self.close().await;
    }

    fn take(&mut self, message: &Publication, now: Instant) {
        self.published.received();
        let window = Window {
            now: Timestamp::now(),
            retention: self.retention,
        };
        let payload = message.body.frame_bytes(0).unwrap_or_default();
        match Metric::parse(&payload, window) {
            Ok(metric) => self.open.push(&metric),
            Err(refusal) => self.refuse(message, &refusal, now),
        }
    }

    fn refuse(&mut self, message: &Publication, refusal: &Refusal, now: Instant) {
        self.published.refused(refusal.reason);
        if let Some(suppressed) = self.throttle.allow(refusal.reason, now) {
            tracing::warn!(
                context = "metric.refused",
                reason = refusal.reason.as_str(),
                topic = %message.topic,
                suppressed,
                "no metric: {refusal}"
            );
        }
    }

    fn is_full(&self) -> bool {
        self.open.count() >= self.batch_metrics || self.open.len_bytes() >= BATCH_BYTES
    }

    /// Hands over what is open.
    async fn close(&mut self) {
        if let Some(batch) = self.open.close() {
            self.spool.append(batch).await;
        }
    }
}
