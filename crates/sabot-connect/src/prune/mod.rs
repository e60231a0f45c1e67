//! Leaving out rows that a filter is certain to refuse, from statistics alone.
//!
//! A [`PruneFilter`] is the part of a filter that statistics can answer: comparisons of a column with a
//! literal and tests for null, all of which must hold. Sources that know the smallest and largest value
//! of a run of rows ask [`PruneFilter::may_match`]. The invariant is one-sided: "no" is certain, "yes"
//! promises nothing, and a statistic that is missing or doubtful always means "yes".

mod from_expr;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

/// A conjunction of tests on columns of [`crate::Source::schema`]. Rows for which a test is false or
/// null are refused. Without tests everything may match.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PruneFilter {
    tests: Vec<PruneTest>,
}

/// A test on one column.
#[derive(Clone, Debug, PartialEq)]
pub struct PruneTest {
    /// The column, as a number of the source's schema.
    pub column: usize,
    /// What must hold for it.
    pub condition: Condition,
}

/// What must hold for a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// The column compares with the literal in this way. Null does not.
    Compare(Comparison, Bound),
    /// The column is null.
    IsNull,
    /// The column is not null.
    IsNotNull,
}

/// How a column must compare with a literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Equal.
    Eq,
    /// Not equal.
    NotEq,
    /// Less.
    Lt,
    /// Less or equal.
    LtEq,
    /// Greater.
    Gt,
    /// Greater or equal.
    GtEq,
}

impl Comparison {
    /// The comparison with its sides swapped: `5 < a` is `a > 5`.
    #[must_use]
    pub fn swapped(self) -> Self {
        match self {
            Comparison::Eq | Comparison::NotEq => self,
            Comparison::Lt => Comparison::Gt,
            Comparison::LtEq => Comparison::GtEq,
            Comparison::Gt => Comparison::Lt,
            Comparison::GtEq => Comparison::LtEq,
        }
    }
}

/// A literal or a statistic. Dates and timestamps are integers in the column's own unit, decimals are
/// their unscaled value.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    /// A boolean; false is less than true.
    Bool(bool),
    /// An integer, date, timestamp or decimal.
    Int(i128),
    /// A float. NaN is greater than every number and equal to itself; −0 is equal to 0.
    Float(f64),
    /// A string, compared by its bytes.
    Text(String),
}

impl Bound {
    /// The order of two values of the same sort; `None` for values of different sorts.
    pub fn compare(&self, other: &Bound) -> Option<Ordering> {
        match (self, other) {
            (Bound::Bool(a), Bound::Bool(b)) => Some(a.cmp(b)),
            (Bound::Int(a), Bound::Int(b)) => Some(a.cmp(b)),
            (Bound::Text(a), Bound::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            (Bound::Float(a), Bound::Float(b)) => {
                // `partial_cmp` is silent only when a side is NaN: then the NaN is the greater one.
                Some(a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan())))
            }
            _ => None,
        }
    }

    fn is_nan(&self) -> bool {
        matches!(self, Bound::Float(value) if value.is_nan())
    }
}

/// What is known of one column over a run of rows.
///
/// `min` and `max` are bounds over the values that are neither null nor NaN, as formats keep them: no
/// smaller and no larger value is there, though they need not occur. Where a bound is unknown or cannot
/// be trusted it is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ColumnBounds {
    /// Rows of the run.
    pub rows: u64,
    /// Nulls among them, if that is known.
    pub nulls: Option<u64>,
    /// A lower bound.
    pub min: Option<Bound>,
    /// An upper bound.
    pub max: Option<Bound>,
}

impl PruneFilter {
    /// A filter of these tests, all of which must hold.
    pub fn new(tests: Vec<PruneTest>) -> Self {
        Self { tests }
    }

    /// The tests.
    pub fn tests(&self) -> &[PruneTest] {
        &self.tests
    }

    /// Whether some row of a run may pass, given what `bounds` knows of each tested column; `None` means
    /// that nothing is known of it.
    ///
    /// ```
    /// use sabot_connect::prune::{Bound, ColumnBounds, Comparison, Condition, PruneFilter, PruneTest};
    /// let late = Condition::Compare(Comparison::Gt, Bound::Int(15));
    /// let filter = PruneFilter::new(vec![PruneTest { column: 1, condition: late }]);
    /// let early = ColumnBounds { rows: 10, max: Some(Bound::Int(12)), ..Default::default() };
    /// assert!(!filter.may_match(|_| Some(early.clone())));
    /// assert!(filter.may_match(|_| None));
    /// ```
    pub fn may_match(&self, bounds: impl Fn(usize) -> Option<ColumnBounds>) -> bool {
        self.tests.iter().all(|test| match bounds(test.column) {
            Some(known) => known.may_match(&test.condition),
            None => true,
        })
    }
}

impl ColumnBounds {
    fn may_match(&self, condition: &Condition) -> bool {
        let all_null = self.nulls == Some(self.rows);
        match condition {
            Condition::IsNull => self.nulls != Some(0),
            Condition::IsNotNull => !all_null,
            Condition::Compare(comparison, literal) => !all_null && self.may_compare(*comparison, literal),
        }
    }

    fn may_compare(&self, comparison: Comparison, literal: &Bound) -> bool {
        // A bound that is NaN comes from a writer that did not leave NaN out; it says nothing.
        let against =
            |bound: &Option<Bound>| bound.as_ref().filter(|b| !b.is_nan()).and_then(|b| b.compare(literal));
        let (min, max) = (against(&self.min), against(&self.max));
        // Bounds speak of numbers alone, while NaN rows, which are greater than every number, may be
        // there unseen: for floats an upper bound refutes nothing that NaN would satisfy.
        let unseen_nan = matches!(literal, Bound::Float(_));
        match comparison {
            Comparison::Eq if literal.is_nan() => true,
            Comparison::Eq => min != Some(Ordering::Greater) && max != Some(Ordering::Less),
            Comparison::NotEq => unseen_nan || min != Some(Ordering::Equal) || max != Some(Ordering::Equal),
            Comparison::Lt if literal.is_nan() => true,
            Comparison::Lt => !matches!(min, Some(Ordering::Greater | Ordering::Equal)),
            Comparison::LtEq => min != Some(Ordering::Greater),
            Comparison::Gt => unseen_nan || !matches!(max, Some(Ordering::Less | Ordering::Equal)),
            Comparison::GtEq => unseen_nan || max != Some(Ordering::Less),
        }
    }
}
