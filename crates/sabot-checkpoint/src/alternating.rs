//! Two transactional producers that take turns, so that sending need not wait for a commit.
//!
//! A producer can have one transaction, and a transaction takes long to commit. So epochs alternate between two
//! producers: once all of epoch *e* is flushed, *e + 1* starts sending with the other one, while *e* commits. What
//! was sent for *e + 1* builds on *e*, therefore it is committed after *e* and never without it, and *e + 2* waits
//! until *e* is known to be committed.
//!
//! The commit record, with the epoch's number, is part of each transaction: the topic of these records is the
//! truth. A commit whose answer is late or lost may have been done, may still be done, or may never be. With
//! brokers that do not raise the producer's epoch with every transaction a late commit can even hit the *next*
//! transaction of that producer. So nothing is assumed and nothing is sent: the producer is initialised again
//! under the same transactional id, which ends whatever was under way one way or the other, and only then are
//! the records read. They say whether *e* was committed. If not, *e + 1* cannot stand either, and the job goes
//! back to the newest epoch that is there.
//!
//! A writer that starts does the same with both ids before it reads: from then on the writer before it can
//! commit nothing, and no transaction is open whose end could still change what was read.

use sabot_common::Epoch;

/// One of the two producers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slot {
    /// The producer of even epochs.
    Even,
    /// The producer of odd epochs.
    Odd,
}

impl Slot {
    /// The producer of an epoch.
    pub fn of(epoch: Epoch) -> Self {
        if epoch.0.is_multiple_of(2) { Slot::Even } else { Slot::Odd }
    }

    fn index(self) -> usize {
        match self {
            Slot::Even => 0,
            Slot::Odd => 1,
        }
    }
}

/// What [`Alternating`] is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransactionEvent {
    /// Begin. The first event of all.
    Start,
    /// The producer was initialised: earlier ones with its id are fenced, their transactions over.
    Initialised(Slot),
    /// The newest epoch that has a commit record; 0 when there is none.
    Read(Epoch),
    /// The barrier of the open epoch has come through: nothing more is sent for it.
    Sealed,
    /// Everything of an epoch was acknowledged, its commit record included.
    Flushed(Epoch),
    /// The transaction of an epoch was committed.
    Committed(Epoch),
    /// What came of the commit of an epoch is not known: it failed, timed out, or took longer than a second.
    Unclear(Epoch),
    /// A producer was told that another one has its id.
    Fenced,
}

/// What [`Alternating`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransactionAction {
    /// Discard the producer if there is one, make another one with the same transactional id and initialise it.
    /// Answered with [`TransactionEvent::Initialised`] or [`TransactionEvent::Fenced`].
    Initialise(Slot),
    /// Read commit records up to the end, committed ones only. Answered with [`TransactionEvent::Read`].
    Read,
    /// Discard everything that was computed after this epoch, and go on from it; open and flushed transactions are
    /// gone already. Follows every [`TransactionEvent::Read`].
    GoOnFrom(Epoch),
    /// Begin the transaction of an epoch: the job may send.
    Begin(Epoch),
    /// Send the commit record and flush. Answered with [`TransactionEvent::Flushed`] or [`TransactionEvent::Fenced`].
    Flush(Epoch),
    /// Commit the transaction. Answered with [`TransactionEvent::Committed`], [`TransactionEvent::Unclear`] or
    /// [`TransactionEvent::Fenced`].
    Commit(Epoch),
    /// Another writer has taken over: nothing may be sent any more.
    Stop,
}

/// The transactions of one writer.
///
/// ```
/// # use sabot_checkpoint::{Alternating, Slot, TransactionAction as A, TransactionEvent as E};
/// # use sabot_common::Epoch;
/// let mut writer = Alternating::new();
/// assert_eq!(writer.step(E::Start), [A::Initialise(Slot::Even), A::Initialise(Slot::Odd)]);
/// assert_eq!(writer.step(E::Initialised(Slot::Even)), []);
/// assert_eq!(writer.step(E::Initialised(Slot::Odd)), [A::Read]);
/// assert_eq!(writer.step(E::Read(Epoch(6))), [A::GoOnFrom(Epoch(6)), A::Begin(Epoch(7))]);
/// assert_eq!(writer.step(E::Sealed), [A::Flush(Epoch(7))]);
/// // The next epoch does not wait for the commit,
/// assert_eq!(writer.step(E::Flushed(Epoch(7))), [A::Commit(Epoch(7)), A::Begin(Epoch(8))]);
/// assert_eq!(writer.step(E::Sealed), [A::Flush(Epoch(8))]);
/// // but the one after that does.
/// assert_eq!(writer.step(E::Flushed(Epoch(8))), []);
/// assert_eq!(writer.step(E::Committed(Epoch(7))), [A::Commit(Epoch(8)), A::Begin(Epoch(9))]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Alternating {
    phase: Phase,
    /// The newest epoch that is known to be committed; 0 when there is none.
    committed: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
enum Phase {
    #[default]
    New,
    /// Producers that are not initialised yet.
    Initialising([bool; 2]),
    Reading,
    Sending {
        /// The epoch that is sent for, and how far it is.
        open: Epoch,
        state: Open,
        /// The commit of the epoch before it is under way.
        committing: bool,
    },
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Open {
    Sending,
    Flushing,
    Flushed,
}

impl Alternating {
    /// A writer that has done nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The newest epoch that is known to be committed; 0 when there is none.
    pub fn committed(&self) -> Epoch {
        Epoch(self.committed)
    }

    /// Takes an event and says what to do. Events that do not fit change nothing.
    pub fn step(&mut self, event: TransactionEvent) -> Vec<TransactionAction> {
        use TransactionAction as A;
        use TransactionEvent as E;
        let mut out = Vec::new();
        match (&mut self.phase, event) {
            (Phase::Stopped, _) => {}
            (_, E::Fenced) => {
                self.phase = Phase::Stopped;
                out.push(A::Stop);
            }
            (Phase::New, E::Start) => self.initialise(&mut out),
            (Phase::Initialising(left), E::Initialised(slot)) => {
                left[slot.index()] = false;
                if *left == [false; 2] {
                    self.phase = Phase::Reading;
                    out.push(A::Read);
                }
            }
            (Phase::Reading, E::Read(epoch)) => {
                self.committed = epoch.0;
                let open = epoch.next();
                self.phase = Phase::Sending { open, state: Open::Sending, committing: false };
                out.extend([A::GoOnFrom(epoch), A::Begin(open)]);
            }
            (Phase::Sending { open, state: state @ Open::Sending, .. }, E::Sealed) => {
                *state = Open::Flushing;
                out.push(A::Flush(*open));
            }
            (Phase::Sending { open, state: state @ Open::Flushing, .. }, E::Flushed(epoch))
                if *open == epoch =>
            {
                *state = Open::Flushed;
                self.turn(&mut out);
            }
            (Phase::Sending { open, committing, .. }, E::Committed(epoch))
                if *committing && epoch.next() == *open =>
            {
                *committing = false;
                self.committed = epoch.0;
                self.turn(&mut out);
            }
            (Phase::Sending { open, committing, .. }, E::Unclear(epoch))
                if *committing && epoch.next() == *open =>
            {
                self.initialise(&mut out);
            }
            _ => {}
        }
        out
    }

    /// Commits the open epoch and begins the next one, when the open one is flushed and the one before committed.
    fn turn(&mut self, out: &mut Vec<TransactionAction>) {
        if let Phase::Sending { open, state: state @ Open::Flushed, committing: committing @ false } =
            &mut self.phase
        {
            out.push(TransactionAction::Commit(*open));
            *open = open.next();
            (*state, *committing) = (Open::Sending, true);
            out.push(TransactionAction::Begin(*open));
        }
    }

    /// Both: what the other one has sent builds on what is in doubt.
    fn initialise(&mut self, out: &mut Vec<TransactionAction>) {
        self.phase = Phase::Initialising([true; 2]);
        out.extend([Slot::Even, Slot::Odd].map(TransactionAction::Initialise));
    }
}
