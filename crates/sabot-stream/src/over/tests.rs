//! A stepped operator held against the reference, with state moved between tasks on the way.

use super::testing::{batch, expected, random_rows, run, stage, within};
use super::*;
use crate::cut_checks::{Checked, CutCheck};
use crate::keyed_operator;
use arrow::datatypes::DataType;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot_ops::{AggregateFunction, AggregateSpec, OverCall, OverFunction};
use sabot_plan::KeyedStage;

fn waiting(partition: Vec<usize>) -> (OverStage, SchemaRef) {
    let sum = AggregateSpec::new(AggregateFunction::Sum, [(1, DataType::Int64)], "sum");
    let call = |function, name: &str| OverCall { function, frame: within(7), name: name.to_owned() };
    let calls = vec![
        call(OverFunction::RowNumber, "number"),
        call(OverFunction::Lag(1, 1), "before"),
        call(OverFunction::Aggregate(sum), "sum"),
    ];
    stage(partition, vec![], calls, None)
}

#[test]
fn results_are_those_of_the_reference_wherever_state_goes() {
    for seed in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let stage = waiting(if rng.random() { vec![0] } else { vec![] });
        let count = rng.random_range(0..90);
        let all = random_rows(&mut rng, count);
        let outcome = run(&stage, &all, &mut rng, |rows| EventTime(rows.num_rows() as i64));
        assert_eq!(outcome.lines, expected(&stage, &all), "seed {seed}");
        assert_eq!((outcome.late_taken, outcome.late_counted), (0, 0));
    }
}

#[test]
fn nothing_is_left_when_all_has_left() {
    let (stage, output) = waiting(vec![0]);
    let groups = KeyGroups::new(16).unwrap();
    let mut operator = KeyedOver::new(&stage, &output, groups, groups.all()).unwrap();
    operator.on_morsel(0, Morsel::new(batch(&[1, 2], &[3, 4]))).unwrap();
    assert!(operator.state_bytes() > 0);
    operator.on_end(true).unwrap();
    assert_eq!(operator.next_output(10).unwrap().unwrap().live_rows(), 2);
    assert!(operator.next_output(10).is_none());
    assert_eq!(operator.state_bytes(), 0);
}

#[test]
fn a_sum_beyond_its_type_names_the_partition() {
    let (stage, output) = waiting(vec![0]);
    let groups = KeyGroups::new(16).unwrap();
    let mut operator = KeyedOver::new(&stage, &output, groups, groups.all()).unwrap();
    operator.on_morsel(0, Morsel::new(batch(&[1, 2], &[i64::MAX, 1]))).unwrap();
    operator.on_end(true).unwrap();
    let error = operator.next_output(10).unwrap().unwrap_err().to_string();
    assert!(error.contains("k x") && error.contains("sum"), "{error}");
}

/// Random rows, with cuts between them.
fn cuts(seed: u64, loses_oldest: bool) -> Checked {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (stage, output) = waiting(vec![0]);
    let (planned, groups) = (KeyedStage::Over(stage), KeyGroups::new(16).unwrap());
    let fresh = || keyed_operator(&planned, &output, groups, groups.all()).unwrap();
    let mut task = fresh();
    let mut check = CutCheck::new(loses_oldest);
    for step in 0..80 {
        let count = rng.random_range(0..9);
        task.on_morsel(0, Morsel::new(random_rows(&mut rng, count))).unwrap();
        task.on_watermark(EventTime(step)).unwrap();
        check.step(&mut rng, task.as_mut(), groups.all(), fresh);
    }
    check.checked
}

#[test]
fn cuts_have_what_snapshots_have() {
    crate::cut_checks::hold(100, 8, cuts);
}
