//! Pruning against the rows themselves, over small domains.

use super::*;

const ALL: [Comparison; 6] =
    [Comparison::Eq, Comparison::NotEq, Comparison::Lt, Comparison::LtEq, Comparison::Gt, Comparison::GtEq];

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
