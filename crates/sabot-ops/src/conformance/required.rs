//! Which cells a backend must support.
//!
//! Each backend has a text file, `conformance/required/<backend>.txt`, with the names of the cells that
//! it supports, one a line; `group-by/*` stands for every cell below `group-by`, also those that are
//! still to come, and `#` starts a comment. A cell may turn from no to yes only: a listed cell that is
//! refused is a fault, and so is a supported cell that is not listed, because the next change could lose
//! it without anybody noticing.

use std::fmt;

use super::{Report, cells};

/// The cells that a backend must support.
///
/// ```
/// use sabot_ops::conformance::Required;
/// let required = Required::parse("union/schema # all of it\n\npartition/key/*")?;
/// assert!(required.contains("union/schema") && required.contains("partition/key/int8"));
/// let error = Required::parse("onion/schema").unwrap_err();
/// assert_eq!(error.to_string(), "line 1: no cell is named \"onion/schema\"; did you mean \"union/schema\"?");
/// # Ok::<(), sabot_ops::conformance::RequiredError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Required {
    lines: Vec<String>,
}

/// A file that lists what is no cell.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequiredError {
    /// A name that the suite does not have.
    #[error("line {line}: no cell is named \"{name}\"{}", near(suggestion.as_deref()))]
    UnknownCell {
        /// The line, from 1.
        line: usize,
        /// What stands there.
        name: String,
        /// The cell that was most likely meant.
        suggestion: Option<String>,
    },
    /// A name that an earlier line lists already.
    #[error("line {line}: \"{name}\" is listed before")]
    Duplicate {
        /// The line, from 1.
        line: usize,
        /// What stands there.
        name: String,
    },
}

fn near(suggestion: Option<&str>) -> String {
    suggestion.map(|s| format!("; did you mean \"{s}\"?")).unwrap_or_default()
}

/// How a report and a file differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shortfall {
    /// Listed cells that are refused, with the reason.
    pub lost: Vec<(String, String)>,
    /// Supported cells that are not listed: add them to the file.
    pub unlisted: Vec<String>,
}

impl Shortfall {
    /// Whether report and file agree.
    pub fn is_empty(&self) -> bool {
        self.lost.is_empty() && self.unlisted.is_empty()
    }
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (cell, reason) in &self.lost {
            writeln!(f, "required but refused: {cell}: {reason}")?;
        }
        for cell in &self.unlisted {
            writeln!(f, "supported but not required yet, so add it to the file: {cell}")?;
        }
        Ok(())
    }
}

impl Required {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// [`RequiredError`] for a name that is no cell, or is listed twice.
    pub fn parse(text: &str) -> Result<Self, RequiredError> {
        let known = cells();
        let mut required = Self::default();
        for (index, line) in text.lines().enumerate() {
            let name = line.split('#').next().unwrap_or_default().trim();
            if name.is_empty() {
                continue;
            }
            let (line, name) = (index + 1, name.to_owned());
            if !known.iter().any(|cell| covers(&name, cell)) {
                let suggestion = sabot_common::did_you_mean(&name, known.iter().map(String::as_str));
                return Err(RequiredError::UnknownCell {
                    line,
                    suggestion: suggestion.map(str::to_owned),
                    name,
                });
            }
            if required.contains(&name) {
                return Err(RequiredError::Duplicate { line, name });
            }
            required.lines.push(name);
        }
        Ok(required)
    }

    /// Whether a cell is listed.
    pub fn contains(&self, cell: &str) -> bool {
        self.lines.iter().any(|line| covers(line, cell))
    }

    /// Where the report of a whole run falls short of the file, and the file of the report.
    pub fn check(&self, report: &Report) -> Shortfall {
        let mut shortfall = Shortfall::default();
        for (name, reason) in &report.refused {
            if self.contains(&name.cell) {
                shortfall.lost.push((name.cell.clone(), reason.clone()));
            }
        }
        shortfall.lost.dedup_by(|a, b| a.0 == b.0);
        let unlisted = report.supported_cells().into_iter().filter(|cell| !self.contains(cell));
        shortfall.unlisted = unlisted.map(str::to_owned).collect();
        shortfall
    }
}

/// Whether a line of the file speaks of a cell.
fn covers(line: &str, cell: &str) -> bool {
    match line.strip_suffix('*') {
        Some(folder) if folder.ends_with('/') => cell.starts_with(folder),
        _ => line == cell,
    }
}
