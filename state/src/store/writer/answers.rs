//! Answers that are remembered by the ids of their writes, so that a write that is asked for again is not
//! done again.

use super::{Answer, Now, Submission, Writer, Written};
use crate::refusal::{Code, Refusal};
use crate::request::WriteId;
use crate::store::Fault;
use crate::store::sum::Sum;

impl Writer<'_> {
    /// Decides one write, or repeats what came of it when it was asked before.
    pub(super) fn answer(&mut self, submission: &Submission, now: Now) -> Result<Answer, Fault> {
        let Some(id) = &submission.id else {
            return self.decide(&submission.write, now);
        };
        if let Some(answer) = self.remembered(id)? {
            return Ok(answer);
        }
        let answer = self.decide(&submission.write, now)?;
        if let Ok(written) = &answer {
            self.remember(id, written, now)?;
        }
        Ok(answer)
    }

    /// What was answered to an id before.
    fn remembered(&mut self, id: &WriteId) -> Result<Option<Answer>, Fault> {
        let mut rows = self.statements.recall.query([&id.id])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let fingerprint: u32 = row.get(0)?;
        let stamp: i64 = row.get(1)?;
        let answer: Vec<u8> = row.get(2)?;
        if row.get::<_, u32>(3)? != answer_checksum(&id.id, fingerprint, stamp, &answer) {
            return Err(Fault::damaged(format!("the answer to the id {}", id.id)));
        }
        if fingerprint != id.fingerprint {
            let error = format!(
                "id: {:?} was used for another write; make up another one",
                id.id
            );
            return Ok(Some(Err(Refusal::new(Code::IdReused, error))));
        }
        let written = serde_json::from_slice(&answer)
            .map_err(|_| Fault::damaged(format!("the answer to the id {}", id.id)))?;
        Ok(Some(Ok(written)))
    }

    fn remember(&mut self, id: &WriteId, written: &Written, now: Now) -> Result<(), Fault> {
        // Plain data can be written.
        let answer = serde_json::to_vec(written).unwrap_or_default();
        let checksum = answer_checksum(&id.id, id.fingerprint, now.clock, &answer);
        self.statements
            .remember
            .execute((&id.id, id.fingerprint, now.clock, answer, checksum))?;
        Ok(())
    }
}

pub(in crate::store) fn answer_checksum(
    id: &str,
    fingerprint: u32,
    stamp: i64,
    answer: &[u8],
) -> u32 {
    let mut sum = Sum::of("answers");
    sum.text(id)
        .number(fingerprint.into())
        .number(stamp)
        .bytes(answer);
    sum.end()
}
