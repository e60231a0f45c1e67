//! The test backends are late, refuse and fail as they say.

use super::*;
use crate::{Failure, FilterProjectSpec, Output, Progress, Projection, Retry, Support, TaskContext, Ticket};
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use sabot_batch::Morsel;
use sabot_expr::{FunctionRegistry, col, lit, resolve};
use std::sync::atomic::Ordering;
use std::task::Waker;

fn morsel(rows: i64) -> Morsel {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    Morsel::new(RecordBatch::try_from_iter([("a", column)]).unwrap())
}

fn add(n: i64) -> Fragment {
    let schema = morsel(0).schema();
    let expr = resolve(&(col("a") + lit(n)), &schema, &FunctionRegistry::new()).unwrap();
    let projections = vec![Projection { name: "b".to_owned(), expr }];
    let spec = FilterProjectSpec { predicate: None, projections, carried: vec![] };
    Fragment::new(schema, vec![spec.into()]).unwrap()
}

fn kernel(backend: &dyn Backend) -> Box<dyn Kernel> {
    match backend.compile(&add(1)).unwrap() {
        CompileJob::Ready(program) => program.kernel(),
        CompileJob::Pending(_) => panic!("the reference compiles at once"),
    }
}

fn reference() -> Arc<dyn Backend> {
    Arc::new(ReferenceBackend::new())
}

fn context() -> TaskContext<'static> {
    TaskContext { morsel_rows: 4, waker: Waker::noop() }
}

#[test]
fn the_reference_hands_over_bounded_morsels_in_parts() {
    let mut kernel = kernel(reference().as_ref());
    let mut next = Some(kernel.submit(morsel(18), &mut context()));
    let mut parts = Vec::new();
    while let Some(ticket) = next {
        let Progress::Done(Output { morsels, more, .. }) = kernel.poll(ticket, &mut context()) else {
            panic!()
        };
        parts.push(morsels.iter().map(|(_, m)| m.rows()).collect::<Vec<_>>());
        next = more;
    }
    assert_eq!(parts, [vec![4, 4], vec![4, 4], vec![2]]);
    let unknown = kernel.poll(Ticket(99), &mut context());
    assert!(matches!(unknown, Progress::Failed(Failure::Internal(_))));
}

#[test]
fn late_tickets_finish_out_of_order_when_polled_enough() {
    let late = LateBackend::new(reference(), 1);
    let mut kernel = kernel(&late);
    let mut open: Vec<Ticket> = (0..20).map(|_| kernel.submit(morsel(1), &mut context())).collect();
    let mut polls = 0;
    while !open.is_empty() {
        open.retain(|ticket| matches!(kernel.poll(*ticket, &mut context()), Progress::Pending));
        polls += 1;
        assert!(polls < 20, "{open:?}");
    }
    assert!(late.counters.pending.load(Ordering::Relaxed) > 0);
    assert!(late.counters.overtakes.load(Ordering::Relaxed) > 0);
    assert_eq!(late.counters.held.load(Ordering::Relaxed), 0);
    assert_eq!(late.device().as_str(), "late-reference");
}

#[test]
fn held_tickets_wait_for_the_flush() {
    let holding = LateBackend::holding(reference(), 1);
    let mut kernel = kernel(&holding);
    let mut open: Vec<Ticket> = (0..30).map(|_| kernel.submit(morsel(1), &mut context())).collect();
    let poll_all = |open: &mut Vec<Ticket>, kernel: &mut dyn Kernel| {
        for _ in 0..20 {
            open.retain(|ticket| matches!(kernel.poll(*ticket, &mut context()), Progress::Pending));
        }
    };
    poll_all(&mut open, kernel.as_mut());
    assert_eq!(open.len() as u64, holding.counters.held.load(Ordering::Relaxed));
    assert!(!open.is_empty());
    open.push(kernel.flush(&mut context()));
    poll_all(&mut open, kernel.as_mut());
    assert!(open.is_empty());
}

#[test]
fn half_of_the_fragments_are_refused_always_the_same() {
    let refusing = RefusingBackend::new(reference(), 5);
    let refused = || -> Vec<bool> {
        (0..200).map(|n| matches!(refusing.supports(&add(n)), Support::No { .. })).collect()
    };
    let first = refused();
    assert_eq!(first, refused());
    let count = first.iter().filter(|no| **no).count();
    assert!((70..130).contains(&count), "{count}");
    assert_eq!(refusing.counters.refused.load(Ordering::Relaxed), 2 * count as u64);
}

#[test]
fn a_tenth_of_the_morsels_fails_and_may_go_elsewhere() {
    let refusing = RefusingBackend::new(reference(), 5);
    let mut kernel = kernel(&refusing);
    let mut failed = 0;
    for _ in 0..1000 {
        let ticket = kernel.submit(morsel(1), &mut context());
        match kernel.poll(ticket, &mut context()) {
            Progress::Done(_) => {}
            Progress::Failed(failure) => {
                assert_eq!(failure.retry(), Retry::Elsewhere);
                failed += 1;
            }
            Progress::Pending => panic!("the reference is never late"),
        }
    }
    assert!((60..150).contains(&failed), "{failed}");
    assert_eq!(refusing.counters.failed.load(Ordering::Relaxed), failed);
    assert_eq!(refusing.counters.submitted.load(Ordering::Relaxed), 1000);
}
