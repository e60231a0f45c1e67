//! What can be wrong with the text of a model.

/// A model that cannot be read or used.
///
/// ```
/// use sabot_ops::{ModelError, TreeModel};
/// let error = TreeModel::from_text("tree\nversion=v4\nnum_class=3\nnum_tree_per_iteration=3\n").unwrap_err();
/// assert!(matches!(&error, ModelError::Unsupported { place, .. } if place == "line 3"));
/// assert_eq!(error.to_string(), "LightGBM text: line 3: several classes are not supported; one number a row is");
/// ```
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
