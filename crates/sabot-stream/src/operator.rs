//! What the runtime knows of a keyed operator.
//!
//! The contract: a task steps its operator with rows, watermarks and ends as they come in, and asks for
//! output after each step until there is none; only then does it hand on a watermark, a barrier or the
//! end. What comes out depends on the rows and on where watermarks stood among them, never on how rows
//! were cut into morsels, on how many tasks share the keys, on which input was read first, or on a
//! snapshot and restore in between.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use sabot_batch::Morsel;
use sabot_common::{Epoch, EventTime, KeyGroupRange, KeyGroups};
use sabot_plan::KeyedStage;
use sabot_state::Needed;
use std::fmt::Debug;

use crate::{KeyedAggregate, KeyedFirst, KeyedJoin, KeyedOver, KeyedRank, KeyedRolling, OperatorError};

/// One task's share of a keyed operator: the owner of a range of key groups.
///
/// Single-threaded and without I/O. After an error it must be dropped.
pub trait KeyedOperator: Debug + Send {
    /// Takes in rows of one of the stage's inputs, numbered from 0.
    ///
    /// # Errors
    /// [`OperatorError`] when the rows are not what was planned, or cannot be computed.
    fn on_morsel(&mut self, input: usize, morsel: Morsel) -> Result<(), OperatorError>;

    /// Takes in the watermark of all inputs together. Returns the one to hand on once all output is
    /// taken; neither ever goes back.
    ///
    /// # Errors
    /// [`OperatorError`] after the end of the inputs.
    fn on_watermark(&mut self, watermark: EventTime) -> Result<EventTime, OperatorError>;

    /// One input has delivered all its rows, others may go on; a suspended input has not. Of every input
    /// it is said at most once, before [`KeyedOperator::on_end`].
    ///
    /// # Errors
    /// [`OperatorError`] where what was waiting for the input cannot be computed.
    fn on_input_end(&mut self, _input: usize) -> Result<(), OperatorError> {
        Ok(())
    }

    /// Ends all inputs. `drain` says that they are complete, so that everything fires; otherwise nothing
    /// does, and the state stays to be snapshot.
    ///
    /// # Errors
    /// [`OperatorError`] when they have ended before.
    fn on_end(&mut self, drain: bool) -> Result<(), OperatorError>;

    /// Whether rows of this input are of use now. Those of an input that is not wanted are left where
    /// they are while others can be read. It is no promise: while a barrier aligns they come all the
    /// same, and are then the operator's to keep.
    fn wants(&self, _input: usize) -> bool {
        true
    }

    /// Whether rows that are still to come can be of use. Once they cannot, they never can again, and who
    /// reads them for this operator alone need not.
    fn wants_more(&self) -> bool {
        true
    }

    /// The next results, at most `max_rows` of them (0 counts as 1); `None` when all have left.
    fn next_output(&mut self, max_rows: usize) -> Option<Result<Morsel, OperatorError>>;

    /// Rows that came too late since the operator was made.
    fn late_rows(&self) -> u64 {
        0
    }

    /// The rows that came too late since the last call, where the plan asks for them.
    fn take_late(&mut self) -> Vec<Morsel> {
        Vec::new()
    }

    /// Bytes allocated for state, and for results that have not left.
    fn state_bytes(&self) -> usize;

    /// The kinds of rows that a snapshot may have, with their columns.
    fn kept(&self) -> Vec<KeptRows>;

    /// The state of these key groups, between two steps and with all output taken. The schema of each batch says in
    /// its metadata which of the [`KeyedOperator::kept`] rows it has, under [`sabot_state::PART`].
    ///
    /// # Errors
    /// [`OperatorError::Order`] while output has not been taken, because it is in no state.
    fn snapshot(&self, range: KeyGroupRange) -> Result<Vec<RecordBatch>, OperatorError>;

    /// Begins a cut, where [`KeyedOperator::snapshot`] may be asked for: the state as it is now is given by
    /// [`KeyedOperator::next_of_cut`], while rows go on coming in. It has what has changed since the cut of `stored`, the
    /// newest epoch that is stored, and all of it where the operator's last cut was another one.
    ///
    /// # Errors
    /// As [`KeyedOperator::snapshot`].
    fn begin_cut(&mut self, epoch: Epoch, stored: Option<Epoch>) -> Result<(), OperatorError>;

    /// The next part of the cut that was begun last: about `rows` rows of it, or its end.
    ///
    /// # Errors
    /// [`OperatorError`] when none has begun, or a column cannot be built.
    fn next_of_cut(&mut self, rows: usize) -> Result<CutPart, OperatorError>;

    /// Takes in state before any input: what belongs to the key groups owned here, out of snapshots of
    /// one epoch, whatever tasks and however many they were taken from. Where snapshots of a task are cuts the newest
    /// comes first, and of two rows with one key the first counts.
    ///
    /// # Errors
    /// [`OperatorError`] for snapshots of another operator or of different epochs.
    fn restore(&mut self, snapshots: &[RecordBatch]) -> Result<(), OperatorError>;

    /// As [`KeyedOperator::restore`] of what is still being read: operators that need not see all of it at once take it in
    /// as it comes.
    ///
    /// # Errors
    /// As [`KeyedOperator::restore`].
    fn restore_from(
        &mut self,
        snapshots: &mut dyn Iterator<Item = RecordBatch>,
    ) -> Result<(), OperatorError> {
        self.restore(&snapshots.collect::<Vec<_>>())
    }
}

/// A part of a cut.
#[derive(Debug)]
pub enum CutPart {
    /// Rows, with the schemas of a snapshot but for what changes in their metadata from epoch to epoch; none where many were
    /// looked at in vain. Each batch is ascending by key group, and no row comes twice in a cut.
    Rows(Vec<RecordBatch>),
    /// That was all.
    End {
        /// A batch for each kind of rows, without rows, with the metadata as of this epoch.
        head: Vec<RecordBatch>,
        /// The cuts that a restore needs beside this one.
        needed: Needed,
    },
}

/// A kind of rows in an operator's snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRows {
    /// Its name.
    pub part: &'static str,
    /// The columns, without metadata.
    pub schema: SchemaRef,
}

/// An operator without state for one task of a stage: the owner of `owned`. `output` is the stage's
/// output schema.
///
/// # Errors
/// [`OperatorError::Plan`] when stage and output do not fit each other.
pub fn keyed_operator(
    stage: &KeyedStage,
    output: &SchemaRef,
    key_groups: KeyGroups,
    owned: KeyGroupRange,
) -> Result<Box<dyn KeyedOperator>, OperatorError> {
    Ok(match stage {
        KeyedStage::Aggregate(stage) => Box::new(KeyedAggregate::new(stage, output, key_groups, owned)?),
        KeyedStage::Join(stage) => Box::new(KeyedJoin::new(stage, output, key_groups, owned)?),
        KeyedStage::Over(stage) if stage.rolling.is_some() => {
            Box::new(KeyedRolling::new(stage, output, key_groups, owned)?)
        }
        KeyedStage::Over(stage) => Box::new(KeyedOver::new(stage, output, key_groups, owned)?),
        KeyedStage::Rank(stage) if stage.as_it_goes => {
            Box::new(KeyedFirst::new(stage, output, key_groups, owned)?)
        }
        KeyedStage::Rank(stage) => Box::new(KeyedRank::new(stage, output, key_groups, owned)?),
    })
}

/// The operator's own methods say more than the contract does.
impl KeyedOperator for KeyedAggregate {
    fn on_morsel(&mut self, _input: usize, morsel: Morsel) -> Result<(), OperatorError> {
        KeyedAggregate::on_morsel(self, morsel)
    }

    fn on_watermark(&mut self, watermark: EventTime) -> Result<EventTime, OperatorError> {
        KeyedAggregate::on_watermark(self, watermark)
    }

    fn on_end(&mut self, drain: bool) -> Result<(), OperatorError> {
        KeyedAggregate::on_end(self, drain)
    }

    fn next_output(&mut self, max_rows: usize) -> Option<Result<Morsel, OperatorError>> {
        KeyedAggregate::next_output(self, max_rows)
    }

    fn late_rows(&self) -> u64 {
        KeyedAggregate::late_rows(self)
    }

    fn take_late(&mut self) -> Vec<Morsel> {
        KeyedAggregate::take_late(self)
    }

    fn state_bytes(&self) -> usize {
        KeyedAggregate::state_bytes(self)
    }

    fn kept(&self) -> Vec<KeptRows> {
        KeyedAggregate::kept(self)
    }

    fn snapshot(&self, range: KeyGroupRange) -> Result<Vec<RecordBatch>, OperatorError> {
        KeyedAggregate::snapshot(self, range)
    }

    fn begin_cut(&mut self, epoch: Epoch, stored: Option<Epoch>) -> Result<(), OperatorError> {
        KeyedAggregate::begin_cut(self, epoch, stored)
    }

    fn next_of_cut(&mut self, rows: usize) -> Result<CutPart, OperatorError> {
        KeyedAggregate::next_of_cut(self, rows)
    }

    fn restore(&mut self, snapshots: &[RecordBatch]) -> Result<(), OperatorError> {
        KeyedAggregate::restore(self, snapshots)
    }

    fn restore_from(
        &mut self,
        snapshots: &mut dyn Iterator<Item = RecordBatch>,
    ) -> Result<(), OperatorError> {
        for snapshot in snapshots {
            KeyedAggregate::restore(self, &[snapshot])?;
        }
        Ok(())
    }
}
