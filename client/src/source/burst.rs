//! What is published at once.

use std::{mem, sync::Arc, time::SystemTime};

use plantd_zmtp::Message;

use super::{
    Source,
    draft::Draft,
    error::{PublishError, SourceClosed},
    heading::Heading,
    kept::Wanted,
    owner::Command,
};
use crate::{Body, body};

/// Takes what is published at once. See [`Source::publish_all`].
#[derive(Debug)]
pub struct Burst<'a> {
    source: &'a Source,
    wanted: Arc<Wanted>,
    time: SystemTime,
    drafts: Vec<Draft>,
    /// What bodies are written into.
    frame: Vec<u8>,
    /// What was taken of the source's room and is not handed over.
    taken_bytes: usize,
}

impl<'a> Burst<'a> {
    pub(super) fn new(source: &'a Source, time: SystemTime) -> Self {
        Self {
            source,
            wanted: source.wanted.borrow().clone(),
            time,
            drafts: Vec::new(),
            frame: Vec::new(),
            taken_bytes: 0,
        }
    }

    /// Publishes a body, as [`Source::publish`] does.
    ///
    /// # Errors
    /// [`PublishError`], of this body alone: what else is published at once is not refused with it.
    pub fn publish(
        &mut self,
        heading: &Heading,
        body: impl Into<Body>,
    ) -> Result<(), PublishError> {
        let body = body.into();
        let checked = body.check_size();
        checked.map_err(|message| PublishError::TooLarge { message })?;
        let body = Message::from(body);
        if !self.wants(heading) {
            self.skip(heading);
            return Ok(());
        }
        let bytes = Draft::bytes_of(heading, &body);
        self.take_room(bytes)?;
        let (time, is_alone) = (self.time, !Draft::copies(&body));
        self.draft(heading, true, is_alone).push(time, body, bytes);
        Ok(())
    }

    /// Publishes a body of one frame, which a function writes into an empty buffer. Where nobody
    /// subscribes to the topic the function is not called: the publication is counted, as any is, and
    /// not refused.
    ///
    /// # Errors
    /// As [`Burst::publish`].
    pub fn write(
        &mut self,
        heading: &Heading,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), PublishError> {
        if !self.wants(heading) {
            self.skip(heading);
            return Ok(());
        }
        let mut frame = mem::take(&mut self.frame);
        frame.clear();
        write(&mut frame);
        let written = self.push_frame(heading, &frame);
        self.frame = frame;
        written
    }

    fn push_frame(&mut self, heading: &Heading, frame: &[u8]) -> Result<(), PublishError> {
        body::check_frame(frame.len()).map_err(|message| PublishError::TooLarge { message })?;
        let bytes = Draft::bytes_with(heading, frame.len());
        self.take_room(bytes)?;
        let time = self.time;
        self.draft(heading, true, false)
            .push_frame(time, frame, bytes);
        Ok(())
    }

    /// Whether a publication under this heading has to be made.
    fn wants(&self, heading: &Heading) -> bool {
        let last = self.drafts.last();
        let known = last.and_then(|draft| draft.is_wanted_under(heading));
        known.unwrap_or_else(|| self.wanted.matches(heading.topic().as_bytes()))
    }

    fn take_room(&mut self, bytes: usize) -> Result<(), PublishError> {
        self.source.take_room(bytes)?;
        self.taken_bytes += bytes;
        Ok(())
    }

    fn skip(&mut self, heading: &Heading) {
        self.draft(heading, false, false).skip();
    }

    /// Where the next publication is added: to the last ones, if they are under the same heading and it
    /// need not be alone.
    fn draft(&mut self, heading: &Heading, is_wanted: bool, is_alone: bool) -> &mut Draft {
        let goes_on = |last: &Draft| {
            !is_alone && last.is_open() && last.is_wanted_under(heading) == Some(is_wanted)
        };
        if !self.drafts.last().is_some_and(goes_on) {
            let last = self.drafts.last_mut();
            let buffer = last.map(Draft::take_buffer).unwrap_or_default();
            let draft = Draft::new(heading.clone(), is_wanted, buffer);
            self.drafts.push(draft);
        }
        self.drafts.last_mut().expect("there is one by now")
    }

    /// Hands everything over.
    pub(super) fn send(mut self) -> Result<(), SourceClosed> {
        if self.drafts.is_empty() {
            return Ok(());
        }
        let drafts = mem::take(&mut self.drafts);
        let sent = self.source.commands.send(Command::PublishAll(drafts));
        sent.map_err(|_| SourceClosed)?;
        self.taken_bytes = 0;
        Ok(())
    }
}

/// What is not handed over takes no room.
impl Drop for Burst<'_> {
    fn drop(&mut self) {
        self.source.give_back(self.taken_bytes);
    }
}
