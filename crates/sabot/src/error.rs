//! The one error type of the facade.

use sabot_connect::ConnectError;
use sabot_exec::JobError;
use sabot_plan::PlanError;
use std::path::PathBuf;

/// Anything that can go wrong between building a pipeline and its last row.
///
/// ```
/// # use sabot::prelude::*;
/// # use sabot::Error;
/// let error = Stream::read(csv("data/flight.csv")).unwrap_err();
/// assert!(matches!(error, Error::Connect(_)));
/// assert!(error.to_string().starts_with("data/flight.csv does not exist"));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The pipeline cannot be what was asked for; nothing ran.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A source or sink cannot be opened; nothing ran.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The job could not be started, or failed while it ran.
    #[error(transparent)]
    Job(#[from] JobError),
    /// A window or a delay that cannot be.
    #[error(transparent)]
    Time(#[from] sabot_time::TimeError),
    /// A table of rows that never end.
    #[error("{source_name} is unbounded, so it cannot be a table; read it with Stream::read")]
    UnboundedTable {
        /// The source.
        source_name: String,
    },
    /// A file that holds no model, or one that cannot be used.
    #[error("{}: {error}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        error: sabot_ops::ModelError,
    },
    /// A device that was asked for is not there.
    #[error("there is no device for \"{devices}\": {reason}")]
    Device {
        /// What was asked for.
        devices: &'static str,
        /// Why it cannot be had, and what would help.
        reason: String,
    },
    /// Arrow could not print or join batches.
    #[error(transparent)]
    Arrow(#[from] arrow::error::ArrowError),
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
