//! What can be wrong with the text of a model.

/// A model that cannot be read or used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The text breaks the rules of its format.
    #[error("{format}: {place}: {message}")]
    Malformed {
        /// The format.
        format: &'static str,
        /// Where: a line and column, or a path into the model.
        place: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// The text is in order, and says something that is not supported.
    #[error("{format}: {place}: {what} not supported; {supported}")]
    Unsupported {
        /// The format.
        format: &'static str,
        /// Where it stands.
        place: String,
        /// What it is.
        what: String,
        /// What is supported.
        supported: &'static str,
    },
}
