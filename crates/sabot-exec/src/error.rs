//! Why a job ended badly.

use sabot_checkpoint::{Fate, Upgrade, UpgradeLine};
use sabot_common::{OperatorId, RowLocation};
use sabot_connect::ConnectError;
use sabot_expr::RowError;
use std::sync::Arc;

/// A job could not be started or did not finish. Cloning is cheap: every waiter gets the same error.
///
/// ```
/// # use sabot::prelude::*;
/// # use sabot::JobError;
/// let flights = Stream::read(csv("../sabot/data/flights.csv"))?;
/// let broken = flights.select([(col("delay") / (col("delay") - 48)).alias("x")])?.named("divide")?;
/// let error = Job::new("divide").write(&broken, to_memory().0)?.start()?.wait().unwrap_err();
/// assert!(matches!(error, JobError::Row { .. }));
/// assert!(error.to_string().starts_with("operator divide: "), "{error}");
/// # Ok::<(), sabot::Error>(())
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// A row cannot be computed.
    #[error("operator {operator}: {}{error}", place(location))]
    Row {
        /// The operator.
        operator: OperatorId,
        /// Where the row came from, when it is still known.
        location: Option<RowLocation>,
        /// What is wrong with it.
        error: RowError,
    },
    /// A row has no event time.
    #[error(
        "operator {operator}: {location}: event-time column \"{column}\" is {found}; every row needs a time in range"
    )]
    EventTime {
        /// The source.
        operator: OperatorId,
        /// The row.
        location: RowLocation,
        /// The column that is declared as event time.
        column: String,
        /// `null`, or the value that is out of range.
        found: String,
    },
    /// A source or sink failed.
    #[error("operator {operator}: {source}")]
    Connect {
        /// The source or sink.
        operator: OperatorId,
        /// What it said.
        source: Arc<ConnectError>,
    },
    /// The user's function over batches returned an error, or a batch of another schema.
    #[error("operator {operator}: the function over batches failed: {message}")]
    UserFunction {
        /// The operator.
        operator: OperatorId,
        /// What it said.
        message: String,
    },
    /// Code that the operator runs panicked.
    #[error(
        "operator {operator} panicked: {message}; a panic in a user function is to be mended there, any other is a bug in Sabot"
    )]
    Panicked {
        /// The operator.
        operator: OperatorId,
        /// The panic's message.
        message: String,
    },
    /// An operator's state refused a row or a result.
    #[error("operator {operator}: {message}")]
    Operator {
        /// The operator.
        operator: OperatorId,
        /// What is wrong and what would be right.
        message: String,
    },
    /// An operator holds more state than it may.
    #[error(
        "operator {operator} holds {held} bytes of state, its limit is {limit}; raise memory_budget, or let rows arrive closer to event-time order"
    )]
    StateTooLarge {
        /// The operator.
        operator: OperatorId,
        /// Bytes held.
        held: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The plan names something that was not bound to it.
    #[error("{what} \"{slot}\" of the plan is not bound; bound: {bound}")]
    Unbound {
        /// `source`, `sink`, `function`, or `opener` of connectors.
        what: &'static str,
        /// The slot's name.
        slot: String,
        /// What is bound.
        bound: String,
    },
    /// The job was aborted: its handle was dropped, or it was told to.
    #[error("the job was aborted before it finished; nothing it had not committed remains")]
    Aborted,
    /// The engine broke one of its own rules.
    #[error("operator {operator}: {message}; this is a bug in Sabot")]
    Internal {
        /// The operator.
        operator: OperatorId,
        /// What happened.
        message: String,
    },
    /// The job cannot have checkpoints.
    #[error("checkpoints are not possible: operator {operator}: {reason}")]
    NoCheckpoints {
        /// The operator that stands against it.
        operator: OperatorId,
        /// Why, and what would be right.
        reason: String,
    },
    /// Checkpoints cannot be made or gone on from.
    #[error("checkpoints: {reason}")]
    Checkpoint {
        /// What went wrong.
        reason: String,
    },
    /// The job has changed since its newest checkpoint, in a way that loses state or cannot do anything with it.
    #[error(
        "checkpoints: the job has changed since the newest one{}; start the job as it was, allow what is dropped to be \
         lost, or give it an empty place for its checkpoints to start from the beginning",
        against(upgrade)
    )]
    Changed {
        /// What would become of the checkpoint.
        upgrade: Arc<Upgrade>,
    },
    /// Another run of the job has taken over its checkpoints.
    #[error("another run of this job has taken over its checkpoints; only one can go on with them")]
    TakenOver,
    /// The job has failed, and is not started again.
    #[error("{error} (not started again: {reason})")]
    GaveUp {
        /// Why there is no further restart.
        reason: String,
        /// What its last run failed with.
        error: Arc<JobError>,
    },
    /// Threads could not be started.
    #[error("cannot start the engine: {message}")]
    Start {
        /// What the operating system said.
        message: String,
    },
}

/// What stands against going on, in words.
fn against(upgrade: &Upgrade) -> String {
    let is_against = |line: &&UpgradeLine| line.stands_against(false) || line.fate == Fate::New;
    let lines = upgrade.lines.iter().filter(is_against);
    lines.map(|line| format!("\n  {line}")).collect::<String>() + "\n"
}

fn place(location: &Option<RowLocation>) -> String {
    location.as_ref().map_or_else(String::new, |at| format!("{at}: "))
}

impl JobError {
    /// Whether it may be another one, or none, when the job is started again. What lies in how the job was made stays.
    pub(crate) fn may_pass(&self) -> bool {
        if let JobError::Connect { source, .. } = self
            && matches!(**source, ConnectError::TooManyDeadLetters { .. })
        {
            // They are counted from the beginning in each run, so that a restart would pass the limit by.
            return false;
        }
        !matches!(
            self,
            JobError::Aborted
                | JobError::TakenOver
                | JobError::NoCheckpoints { .. }
                | JobError::Changed { .. }
                | JobError::Unbound { .. }
                | JobError::GaveUp { .. }
        )
    }

    /// A connector's failure in an operator.
    pub(crate) fn connect(operator: &OperatorId, source: ConnectError) -> Self {
        JobError::Connect { operator: operator.clone(), source: Arc::new(source) }
    }

    /// A broken rule in an operator.
    pub(crate) fn internal(operator: &OperatorId, message: impl ToString) -> Self {
        JobError::Internal { operator: operator.clone(), message: message.to_string() }
    }
}
