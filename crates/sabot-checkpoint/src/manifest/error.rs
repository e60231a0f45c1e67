//! Why a manifest cannot be read.

/// What is wrong with the bytes of a manifest.
///
/// ```
/// # use sabot_checkpoint::{Manifest, ManifestError};
/// let error = Manifest::from_bytes(b"sabot-manifest 9 sha256:00\n").unwrap_err();
/// assert_eq!(error, ManifestError::Newer { format: 9 });
/// assert!(error.to_string().contains("written by a newer version of Sabot (format 9, this one reads up to 1)"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ManifestError {
    /// The bytes do not begin like a manifest.
    #[error("not a manifest: it does not begin with `sabot-manifest <format> sha256:<hash>`")]
    NotAManifest,
    /// The format is one that this version does not know.
    #[error(
        "written by a newer version of Sabot (format {format}, this one reads up to {}); open it with that version",
        crate::Manifest::FORMAT
    )]
    Newer {
        /// The format.
        format: u32,
    },
    /// The bytes are not those that were written: torn, or changed since.
    #[error("damaged: its bytes have the hash {found} and should have {wanted}")]
    Damaged {
        /// The hash that the first line names.
        wanted: String,
        /// The hash of what follows it.
        found: String,
    },
    /// The bytes are as they were written, and still not a manifest of their format.
    #[error("not a manifest of format {}: {problem}", crate::Manifest::FORMAT)]
    Syntax {
        /// What the parser found, and where.
        problem: String,
    },
    /// A field holds what it must not.
    #[error("{field} {problem}")]
    Field {
        /// The field: `operators["count by key"].parts[1].groups`.
        field: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
}
