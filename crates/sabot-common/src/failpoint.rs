//! Places where a process can be made to die, for tests of what survives.
//!
//! They are there in builds with the feature `failpoints` alone; in all others a place costs nothing. Whoever runs a
//! program with `SABOT_FAILPOINT=BlockWritten@3` has it abort when it comes to that place for the third time.

/// A place in the code where something is half done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailPoint {
    /// The barrier of an epoch has been sent, and nobody has answered.
    BarrierSent,
    /// A block of state is in the store, others of its task may not be.
    BlockWritten,
    /// All blocks of a task are, and no manifest names them.
    StateStored,
    /// All is there that a manifest is going to name.
    ManifestBegun,
    /// The manifest is there, and nothing of it is committed.
    ManifestWritten,
    /// Before a sink commits.
    CommitBegun,
    /// A sink has committed, others may not have.
    Committed,
    /// The job has come to its end, and a sink has not.
    FinishBegun,
    /// A sink has come to its end, others may not have.
    Finished,
    /// Manifests are deleted, and not their blocks.
    ManifestsDeleted,
    /// Blocks are deleted.
    BlocksDeleted,
    /// A run has found the epoch to go on from, and has finished what it names.
    BaseFinished,
    /// A run has taken over, and what others have staged is still there.
    TakenOver,
    /// That is gone.
    Cleaned,
    /// A file of the store has its bytes, under another name and not synced.
    FileWritten,
    /// They are on the medium.
    FileSynced,
    /// It has its name, and its folder is not synced.
    FileNamed,
    /// A part of an output has its rows, and its folder is not synced.
    PartWritten,
    /// A part is committed, others of the epoch may not be.
    PartCommitted,
    /// The parts of a file are one, which nobody can see.
    WholeJoined,
    /// It can be seen, and its parts are still there.
    WholePublished,
    /// A marker says so.
    WholeMarked,
    /// Its parts are gone, and the marker is there.
    PartsRemoved,
}

impl FailPoint {
    /// All of them.
    pub const ALL: [FailPoint; 23] = [
        FailPoint::BarrierSent,
        FailPoint::BlockWritten,
        FailPoint::StateStored,
        FailPoint::ManifestBegun,
        FailPoint::ManifestWritten,
        FailPoint::CommitBegun,
        FailPoint::Committed,
        FailPoint::FinishBegun,
        FailPoint::Finished,
        FailPoint::ManifestsDeleted,
        FailPoint::BlocksDeleted,
        FailPoint::BaseFinished,
        FailPoint::TakenOver,
        FailPoint::Cleaned,
        FailPoint::FileWritten,
        FailPoint::FileSynced,
        FailPoint::FileNamed,
        FailPoint::PartWritten,
        FailPoint::PartCommitted,
        FailPoint::WholeJoined,
        FailPoint::WholePublished,
        FailPoint::WholeMarked,
        FailPoint::PartsRemoved,
    ];

    /// The variable that says where to die.
    pub const VARIABLE: &str = "SABOT_FAILPOINT";

    /// Dies if the environment says so.
    #[cfg(feature = "failpoints")]
    pub fn pass(self) {
        use std::sync::OnceLock;
        use std::sync::atomic::{AtomicU32, Ordering};
        static WANTED: OnceLock<Option<(String, u32)>> = OnceLock::new();
        static PASSED: AtomicU32 = AtomicU32::new(0);
        let wanted = WANTED.get_or_init(|| {
            let text = std::env::var(Self::VARIABLE).ok()?;
            let (name, time) = text.split_once('@')?;
            Some((name.to_owned(), time.parse().ok()?))
        });
        if let Some((name, time)) = wanted
            && *name == format!("{self:?}")
            && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *time
        {
            // Nothing is unwound, dropped or flushed.
            std::process::abort();
        }
    }

    /// Nothing: this build has no such places.
    #[cfg(not(feature = "failpoints"))]
    #[inline(always)]
    pub fn pass(self) {}
}
