//! What can go wrong in a keyed operator.

use arrow::datatypes::DataType;
use sabot_batch::MorselError;
use sabot_batch::key_index::KeyIndexError;
use sabot_common::{EventTime, KeyGroupRange};
use sabot_cpu::group_by::AccumulateError;
use sabot_cpu::join::JoinError;
use sabot_ops::{Failure, SpecError};
use sabot_state::StateError;

/// Why a keyed operator cannot go on. After an error it must be dropped; its state is that of no point
/// between two steps.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// An integer sum is beyond its result type.
    #[error("sum({sum}) does not fit {data_type} in \"{aggregate}\" of {key}")]
    Overflow {
        /// The aggregate's name.
        aggregate: String,
        /// The group, as text: `window 2001-01-01T00:00:00, origin ORD`.
        key: String,
        /// The exact sum.
        sum: String,
        /// The result type.
        data_type: DataType,
    },
    /// A user's function reported an error.
    #[error("function {function} failed: {message} in \"{aggregate}\" of {key}")]
    Function {
        /// The aggregate's name.
        aggregate: String,
        /// The group, as text.
        key: String,
        /// The function's name.
        function: String,
        /// What it reported.
        message: String,
    },
    /// The stage, as planned, cannot be carried out: a bug in the planner, reported as such.
    #[error("keyed operator: {message}")]
    Plan {
        /// What does not fit.
        message: String,
    },
    /// A morsel is not what the stage was planned for.
    #[error("keyed operator: {message}")]
    Input {
        /// What does not fit.
        message: String,
    },
    /// A row is of another kind than insert.
    #[error("a {kind} came into an operator that takes inserts alone")]
    NotInsert {
        /// The kind's symbol.
        kind: &'static str,
    },
    /// A row belongs to a key group that another task owns.
    #[error("a row of key group {group} came to the owner of {}..{}", owned.start, owned.end)]
    NotOwned {
        /// The row's group.
        group: u16,
        /// The groups owned here.
        owned: KeyGroupRange,
    },
    /// A step was made that is not allowed any more, or not yet.
    #[error("keyed operator: {step} {when}")]
    Order {
        /// The step: `a morsel`, `a snapshot`.
        step: &'static str,
        /// `after the end of the input`, `before all output is taken`.
        when: &'static str,
    },
    /// Snapshots of one epoch do not agree.
    #[error(
        "snapshots of watermark {} and {} were to be restored together; they are of different epochs",
        first.micros(),
        other.micros()
    )]
    Epochs {
        /// The watermark of the first, or of the operator.
        first: EventTime,
        /// One that differs.
        other: EventTime,
    },
    /// State could not be written or read.
    #[error(transparent)]
    State(#[from] StateError),
    /// Rows could not be aggregated.
    #[error(transparent)]
    Aggregate(AccumulateError),
    /// Rows could not be joined.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// Rows could not be pre-aggregated.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// A morsel could not be brought to the host or moved.
    #[error(transparent)]
    Morsel(#[from] MorselError),
}

impl OperatorError {
    pub(crate) fn input(message: impl ToString) -> Self {
        OperatorError::Input { message: message.to_string() }
    }

    pub(crate) fn plan(message: impl ToString) -> Self {
        OperatorError::Plan { message: message.to_string() }
    }

    /// State can be given, because all output is taken.
    pub(crate) fn check_taken(is_taken: bool) -> Result<(), Self> {
        match is_taken {
            true => Ok(()),
            false => Err(OperatorError::Order { step: "a snapshot", when: "before all output is taken" }),
        }
    }

    /// A part of a cut was asked for.
    pub(crate) fn no_cut() -> Self {
        OperatorError::Order { step: "a part of a cut", when: "and none has begun" }
    }
}

impl From<AccumulateError> for OperatorError {
    fn from(error: AccumulateError) -> Self {
        OperatorError::Aggregate(error)
    }
}

impl From<KeyIndexError> for OperatorError {
    fn from(error: KeyIndexError) -> Self {
        OperatorError::State(StateError::Keys(error))
    }
}

impl From<SpecError> for OperatorError {
    fn from(error: SpecError) -> Self {
        OperatorError::plan(error)
    }
}
