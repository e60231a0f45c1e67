//! The suite passes on the reference, however late it is, and fails on every canary.

use super::*;
use crate::testing::{CanaryBackend, LateBackend, ReferenceBackend, Sabotage};
use std::sync::Arc;
use std::time::Instant;

#[test]
fn the_reference_passes() {
    let report = run(&ReferenceBackend::new(), &Options::quick());
    assert!(report.failed.is_empty() && report.refused.is_empty(), "{report}");
    assert_eq!(report.supported_cells().len(), cells().len());
}

#[test]
fn a_late_backend_passes() {
    for holds in [false, true] {
        let reference = Arc::new(ReferenceBackend::new());
        let late = if holds { LateBackend::holding(reference, 7) } else { LateBackend::new(reference, 7) };
        let options = Options { only: Some("group-by/whole".to_owned()), ..Options::quick() };
        let report = run(&late, &options);
        assert!(report.failed.is_empty() && !report.passed.is_empty(), "{report}");
    }
}

#[test]
fn every_canary_is_found() {
    for sabotage in Sabotage::ALL {
        let canary = CanaryBackend::new(Arc::new(ReferenceBackend::new()), sabotage);
        let t = Instant::now();
        let options = Options {
            patience: Duration::from_millis(1),
            only: Some("fragment/".to_owned()),
            ..Options::quick()
        };
        let report = run(&canary, &options);
        println!(
            "{sabotage:?} {} passed {} failed {:?}",
            report.passed.len(),
            report.failed.len(),
            t.elapsed()
        );
        println!("{}", report.to_string().lines().take(4).collect::<Vec<_>>().join("\n"));
    }
}

#[test]
fn timing() {
    let mut list = Vec::new();
    let options = Options::quick();
    for (number, case) in cases::all(&options).into_iter().enumerate() {
        let backend = ReferenceBackend::new();
        let mut bench = Bench::new(&backend, &options, number, &case.name);
        let t = Instant::now();
        let _ = (case.check)(&mut bench);
        list.push((t.elapsed(), case.name.to_string()));
    }
    list.sort();
    println!("{} cases, {} cells", list.len(), cells().len());
    for (t, n) in list.iter().rev().take(40) {
        println!("{t:?} {n}");
    }
}
