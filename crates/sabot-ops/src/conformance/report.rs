//! What came of a run of the suite.

use std::collections::BTreeSet;
use std::fmt;

/// The name of a case: a cell, which is what a backend supports or refuses, and which of its cases.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CaseName {
    /// Operator, aspect and type: `group-by/partial/sum/int32`.
    pub cell: String,
    /// Which case of the cell; empty when it has one only.
    pub detail: String,
}

impl fmt::Display for CaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cell)?;
        if !self.detail.is_empty() {
            write!(f, " [{}]", self.detail)?;
        }
        Ok(())
    }
}

/// The outcome of every case. `Display` prints counts, then refusals by reason, then every difference.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The device that was tested.
    pub device: String,
    /// Cases that the backend supports and does right.
    pub passed: Vec<CaseName>,
    /// Cases whose fragment the backend refuses, with its reason. They say nothing about the backend.
    pub refused: Vec<(CaseName, String)>,
    /// Cases that it gets wrong, with the first difference.
    pub failed: Vec<(CaseName, String)>,
}

impl Report {
    /// Cells of which at least one case ran and none was refused.
    pub fn supported_cells(&self) -> BTreeSet<&str> {
        let refused = self.refused_cells();
        let ran = self.passed.iter().chain(self.failed.iter().map(|(name, _)| name));
        ran.map(|name| name.cell.as_str()).filter(|cell| !refused.contains(cell)).collect()
    }

    /// Cells of which at least one case was refused.
    pub fn refused_cells(&self) -> BTreeSet<&str> {
        self.refused.iter().map(|(name, _)| name.cell.as_str()).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (passed, refused, failed) = (self.passed.len(), self.refused.len(), self.failed.len());
        writeln!(f, "{}: {passed} passed, {refused} refused, {failed} failed", self.device)?;
        for (name, reason) in &self.refused {
            writeln!(f, "  refused {name}: {reason}")?;
        }
        for (name, difference) in &self.failed {
            writeln!(f, "  FAILED {name}: {difference}")?;
        }
        Ok(())
    }
}
