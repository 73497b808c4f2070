//! Bugs that the simulation plants, to show that it would find them.
//!
//! Each is one branch at the place where it could have been made. Without the feature
//! `planted-bugs`, `Planted::has` is `false` as a constant and the branches are compiled away.
//! With it, a machine has no bug until one is planted, so that whoever builds the whole workspace
//! gets machines that behave the same.
#![cfg_attr(
    not(feature = "planted-bugs"),
    expect(unreachable_pub, reason = "public for whoever may plant")
)]

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// The broker forgets the request of a lost worker.
    ForgetToRequeue,
    /// Every attempt at a request has the same token.
    ReuseToken,
    /// An orphaned FINAL is answered by DISCONNECT.
    DisconnectOrphan,
    /// A worker is given twice the requests that it has credit for.
    CountCreditTwice,
    /// A drain drops what is queued.
    DropAtDrain,
    /// A worker that registers is given a request that another one has.
    DispatchTwiceOnReady,
    /// A request is tried again although a part of an answer has gone out.
    RedispatchAfterPartial,
    /// Of several requests that are handed out at once, the last is not sent.
    LoseLastOfBatch,
    /// Workers are expired for silence while the broker's own process was stopped.
    ExpireByWallClock,
    /// The broker's own process counts as stopped only from when something was due.
    MeasureStopFromDue,
    /// A late answer goes to another request of the same worker's.
    AnswerWrongRequest,
    /// `retry=never` is not heeded.
    IgnoreRetryNever,
    /// A worker is not told that nobody waits.
    SkipCancel,
    /// The bytes of a request that ended stay accounted for.
    ForgetToReleaseMemory,
    /// An orphaned FINAL does not free the worker.
    KeepSlotOfOrphan,
    /// A worker that is gone stays among those with room.
    KeepDeadWorker,
    /// MORE does not reach the worker.
    LoseMore,
    /// The next attempt is told the deadline that the first one was told.
    FreezeDeadline,
    /// The newest request of a client is handed out first.
    NewestFirst,
    /// A request that was cancelled is still answered.
    AnswerCancelled,
    /// CANCEL is not answered.
    CancelInSilence,
    /// A client that was paused is never read from again.
    NeverResume,
    /// Attempts are not limited.
    UnlimitedAttempts,
    /// A worker that waits is given a request before its WELCOME.
    RequestBeforeWelcome,
    /// A request that crossed a worker's last credit counts as an attempt.
    CountCrossedAttempt,
    /// What a worker holds that gave up its credit and leaves does not count as an attempt.
    ForgiveLeaver,
    /// Of parts that are joined, the last is lost.
    LoseJoinedPart,
    /// A busy worker of an older dialect is expired like an idle one.
    ExpireBusyEarly,
    /// Workers are sent no heartbeats.
    SkipHeartbeat,
    /// A worker's credit 0 is not heeded.
    IgnoreCreditZero,
    /// Properties that only the broker sets are taken from clients.
    TrustClientProperties,
    /// A deadline does not end a request that a worker has.
    IgnoreDeadline,
    /// The library's client sends a request with `retry=never` again.
    ClientResendsNever,
    /// The library's client does not say that it takes more parts.
    ClientForgetsMore,
    /// The library's worker sends more parts than the client takes.
    WorkerOverrunsWindow,
    /// The library's worker leaves before it has answered all that it took.
    WorkerLeavesEarly,
}

#[cfg(feature = "planted-bugs")]
impl Bug {
    /// Every bug, in the order of declaration.
    pub const ALL: [Self; 36] = [
        Self::ForgetToRequeue,
        Self::ReuseToken,
        Self::DisconnectOrphan,
        Self::CountCreditTwice,
        Self::DropAtDrain,
        Self::DispatchTwiceOnReady,
        Self::RedispatchAfterPartial,
        Self::LoseLastOfBatch,
        Self::ExpireByWallClock,
        Self::MeasureStopFromDue,
        Self::AnswerWrongRequest,
        Self::IgnoreRetryNever,
        Self::SkipCancel,
        Self::ForgetToReleaseMemory,
        Self::KeepSlotOfOrphan,
        Self::KeepDeadWorker,
        Self::LoseMore,
        Self::FreezeDeadline,
        Self::NewestFirst,
        Self::AnswerCancelled,
        Self::CancelInSilence,
        Self::NeverResume,
        Self::UnlimitedAttempts,
        Self::RequestBeforeWelcome,
        Self::CountCrossedAttempt,
        Self::ForgiveLeaver,
        Self::LoseJoinedPart,
        Self::ExpireBusyEarly,
        Self::SkipHeartbeat,
        Self::IgnoreCreditZero,
        Self::TrustClientProperties,
        Self::IgnoreDeadline,
        Self::ClientResendsNever,
        Self::ClientForgetsMore,
        Self::WorkerOverrunsWindow,
        Self::WorkerLeavesEarly,
    ];
}

/// The bug of a machine, if any.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Planted {
    #[cfg(feature = "planted-bugs")]
    bug: Option<Bug>,
}

impl Planted {
    #[cfg(feature = "planted-bugs")]
    pub(crate) fn with(bug: Bug) -> Self {
        Self { bug: Some(bug) }
    }

    /// Whether the machine has this bug.
    #[inline]
    pub(crate) fn has(self, bug: Bug) -> bool {
        #[cfg(feature = "planted-bugs")]
        return self.bug == Some(bug);
        #[cfg(not(feature = "planted-bugs"))]
        {
            let _never = bug;
            false
        }
    }
}
