//! Counts what became of what was published.

use std::time::Duration;

use plantd_client::{Sink, SinkEvent, Source};

/// What became of everything that was published on one topic since the first that came.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) first: u64,
    /// The sequence of the last that came.
    pub(crate) last: u64,
    pub(crate) came: u64,
    pub(crate) missed: u64,
}

impl Account {
    /// Takes what a sink gives, and checks that nothing stands twice and nothing is left out.
    pub(crate) fn take(&mut self, event: SinkEvent) -> Option<String> {
        match event {
            SinkEvent::Message(publication) => {
                let sequence = publication.header.unwrap().sequence;
                if self.first == 0 {
                    self.first = sequence;
                    self.last = sequence - 1;
                }
                assert_eq!(sequence, self.last + 1);
                self.last = sequence;
                self.came += 1;
                Some(publication.body.text().unwrap().to_owned())
            }
            SinkEvent::Gap(gap) => {
                assert_eq!(gap.first, self.last + 1);
                self.last += gap.missed;
                self.missed += gap.missed;
                None
            }
        }
    }

    /// Publishes this body until it comes; how often it was.
    pub(crate) async fn until(
        &mut self,
        source: &Source,
        sink: &mut Sink,
        topic: &str,
        body: &str,
    ) -> u64 {
        let mut published = 0;
        loop {
            source.publish(topic, body).unwrap();
            published += 1;
            let came = async {
                loop {
                    let event = sink.next().await.unwrap();
                    if self.take(event).as_deref() == Some(body) {
                        break;
                    }
                }
            };
            if tokio::time::timeout(Duration::from_millis(50), came)
                .await
                .is_ok()
            {
                return published;
            }
        }
    }
}
