//! Why a block cannot be read or written.

/// What is wrong with the bytes of a block, or with the rows of one that is to be.
///
/// ```
/// # use sabot_state::block::{BlockError, Header};
/// let error = Header::read(b"PAR1").unwrap_err();
/// assert!(matches!(error, BlockError::NotABlock));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// The bytes do not begin like a block.
    #[error("not a block of state: it does not begin with SABOTBLK")]
    NotABlock,
    /// The format is one that this version does not know.
    #[error(
        "written by a newer version of Sabot (format {format}, this one reads up to {}); open it with that version",
        super::FORMAT
    )]
    Newer {
        /// The format.
        format: u16,
    },
    /// The bytes are not those that were written: cut short, or changed since.
    #[error("damaged: {problem}")]
    Damaged {
        /// What was found.
        problem: String,
    },
    /// Rows that a block cannot hold.
    #[error("rows that cannot be put into a block: {problem}")]
    Rows {
        /// What is wrong with them.
        problem: String,
    },
}

impl BlockError {
    pub(crate) fn damaged(problem: impl std::fmt::Display) -> Self {
        BlockError::Damaged { problem: problem.to_string() }
    }

    pub(crate) fn rows(problem: impl std::fmt::Display) -> Self {
        BlockError::Rows { problem: problem.to_string() }
    }
}
