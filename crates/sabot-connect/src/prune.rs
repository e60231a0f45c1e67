//! Leaving out rows that a filter is certain to refuse, from statistics alone.
//!
//! A [`PruneFilter`] is the part of a filter that statistics can answer: comparisons of a column with a
//! literal and tests for null, all of which must hold. Sources that know the smallest and largest value
//! of a run of rows ask [`PruneFilter::may_match`]. The invariant is one-sided: "no" is certain, "yes"
//! promises nothing, and a statistic that is missing or doubtful always means "yes".

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

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Comparison; 6] = [
        Comparison::Eq,
        Comparison::NotEq,
        Comparison::Lt,
        Comparison::LtEq,
        Comparison::Gt,
        Comparison::GtEq,
    ];

    fn holds(comparison: Comparison, order: Ordering) -> bool {
        match comparison {
            Comparison::Eq => order.is_eq(),
            Comparison::NotEq => order.is_ne(),
            Comparison::Lt => order.is_lt(),
            Comparison::LtEq => order.is_le(),
            Comparison::Gt => order.is_gt(),
            Comparison::GtEq => order.is_ge(),
        }
    }

    fn bounds_of(values: &[Option<Bound>]) -> ColumnBounds {
        let mut known = ColumnBounds { rows: values.len() as u64, nulls: Some(0), min: None, max: None };
        for value in values {
            match value {
                None => known.nulls = known.nulls.map(|n| n + 1),
                Some(v) if v.is_nan() => {}
                Some(v) => {
                    let beats =
                        |old: &Option<Bound>, order| old.as_ref().is_none_or(|o| v.compare(o) == Some(order));
                    if beats(&known.min, Ordering::Less) {
                        known.min = Some(v.clone());
                    }
                    if beats(&known.max, Ordering::Greater) {
                        known.max = Some(v.clone());
                    }
                }
            }
        }
        known
    }

    /// Every pair and triple of a small domain against every literal: a run is pruned only if no row
    /// passes, and for runs without NaN exactly if no row passes.
    fn check(domain: &[Option<Bound>]) {
        let literals: Vec<&Bound> = domain.iter().flatten().collect();
        for a in domain {
            for b in domain {
                let rows = [a.clone(), b.clone()];
                let known = bounds_of(&rows);
                for literal in &literals {
                    for comparison in ALL {
                        let passes =
                            rows.iter().flatten().any(|v| holds(comparison, v.compare(literal).unwrap()));
                        let may = known.may_compare(comparison, literal)
                            && known.may_match(&Condition::Compare(comparison, (*literal).clone()));
                        assert!(may || !passes, "{rows:?} {comparison:?} {literal:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_that_passes_is_pruned() {
        let ints = [None, Some(Bound::Int(-1)), Some(Bound::Int(0)), Some(Bound::Int(1))];
        check(&ints);
        let floats: Vec<Option<Bound>> = [f64::NEG_INFINITY, -0.0, 0.0, 1.5, f64::INFINITY, f64::NAN]
            .into_iter()
            .map(|v| Some(Bound::Float(v)))
            .chain([None])
            .collect();
        check(&floats);
        let texts: Vec<Option<Bound>> =
            ["", "a", "ab", "é"].into_iter().map(|v| Some(Bound::Text(v.into()))).chain([None]).collect();
        check(&texts);
        check(&[Some(Bound::Bool(false)), Some(Bound::Bool(true)), None]);
    }

    #[test]
    fn bounds_refute_what_they_can() {
        let known = bounds_of(&[Some(Bound::Int(3)), Some(Bound::Int(7))]);
        let refuted = |comparison, literal| !known.may_compare(comparison, &Bound::Int(literal));
        assert!(refuted(Comparison::Eq, 2) && refuted(Comparison::Eq, 8) && !refuted(Comparison::Eq, 5));
        assert!(refuted(Comparison::Lt, 3) && !refuted(Comparison::LtEq, 3) && refuted(Comparison::LtEq, 2));
        assert!(refuted(Comparison::Gt, 7) && !refuted(Comparison::GtEq, 7) && refuted(Comparison::GtEq, 8));
        let constant = bounds_of(&[Some(Bound::Int(5))]);
        assert!(!constant.may_compare(Comparison::NotEq, &Bound::Int(5)));
        assert!(constant.may_compare(Comparison::NotEq, &Bound::Int(4)));
        let floats = bounds_of(&[Some(Bound::Float(3.0))]);
        assert!(!floats.may_compare(Comparison::Lt, &Bound::Float(3.0)));
        assert!(!floats.may_compare(Comparison::Eq, &Bound::Float(4.0)));
        // NaN may hide above the upper bound.
        assert!(floats.may_compare(Comparison::Gt, &Bound::Float(3.0)));
    }

    #[test]
    fn null_counts_refute_only_when_known() {
        let some = |nulls| ColumnBounds { rows: 4, nulls, min: None, max: None };
        let equals = Condition::Compare(Comparison::Eq, Bound::Int(1));
        assert!(!some(Some(4)).may_match(&equals));
        assert!(some(None).may_match(&equals) && some(Some(3)).may_match(&equals));
        assert!(!some(Some(0)).may_match(&Condition::IsNull) && some(None).may_match(&Condition::IsNull));
        assert!(!some(Some(4)).may_match(&Condition::IsNotNull));
        assert!(some(Some(3)).may_match(&Condition::IsNotNull));
    }

    #[test]
    fn bounds_of_another_sort_refute_nothing() {
        let known = bounds_of(&[Some(Bound::Text("a".into()))]);
        assert!(ALL.iter().all(|comparison| known.may_compare(*comparison, &Bound::Int(1))));
    }
}
