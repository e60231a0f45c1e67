//! What travels on an edge between two tasks.

use sabot_batch::Morsel;
use sabot_common::{Epoch, EventTime};
use std::sync::Arc;

use crate::budget::{Charge, JobAccount};
use crate::error::JobError;

/// A morsel with the memory it is charged for.
#[derive(Clone, Debug)]
pub(crate) struct Charged {
    pub(crate) morsel: Morsel,
    _charge: Charge,
}

impl Charged {
    /// A morsel that a source was allowed to let in.
    pub(crate) fn admitted(morsel: Morsel, charge: Charge) -> Self {
        Self { morsel, _charge: charge }
    }

    /// A morsel that an operator made.
    pub(crate) fn made(morsel: Morsel, account: &Arc<JobAccount>) -> Self {
        let charge = account.charge(morsel.bytes());
        Self { morsel, _charge: charge }
    }
}

/// Why a barrier flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarrierKind {
    /// A cut through the job; it goes on.
    Checkpoint,
    /// A cut through the job, after which it stops without firing windows.
    Suspend,
}

/// A mark in every stream of a job: what comes before it belongs to the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// The epoch that the barrier closes.
    pub epoch: Epoch,
    /// Why it flows.
    pub kind: BarrierKind,
    /// The newest epoch that was stored when it set out, by this run of the job.
    pub stored: Option<Epoch>,
}

/// One element of an edge. Control elements never overtake the rows before them.
#[derive(Clone, Debug)]
pub(crate) enum Element {
    /// Rows.
    Morsel(Charged),
    /// No further row with event time ≤ t.
    Watermark(EventTime),
    /// No rows for a while; do not wait for this edge. Any later element ends it.
    Idle,
    /// A barrier.
    Barrier(Barrier),
    /// A row has failed. The error travels in order like the row would have, so that an earlier row's
    /// error, made further downstream, is the one that is reported.
    Failed(JobError),
    /// Nothing follows.
    End,
}
