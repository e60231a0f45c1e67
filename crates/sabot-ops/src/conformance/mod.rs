//! The conformance suite: what every backend must do alike, as cases that any backend is put through.
//!
//! It drives a backend only as the runtime does: [`Backend::supports`] and [`Backend::compile`], then
//! [`Kernel::submit`](crate::Kernel::submit), [`poll`](crate::Kernel::poll) and
//! [`flush`](crate::Kernel::flush), with many tickets open at once and polled in random order. Results
//! are held against [`reference`](crate::reference), each column under the [`Equality`] that its case
//! declares. A case whose fragment the backend refuses is counted as refused, with the reason, and never
//! as passed; which cells may be refused is said by a file per backend, see [`Required`].
//!
//! ```
//! use sabot_ops::conformance::{self, Options};
//! use sabot_ops::testing::ReferenceBackend;
//! let options = Options { only: Some("union/".to_owned()), ..Options::quick() };
//! let report = conformance::run(&ReferenceBackend::new(), &options);
//! assert!(report.failed.is_empty() && report.refused.is_empty(), "{report}");
//! assert!(!report.passed.is_empty());
//! ```

mod bench;
mod cases;
mod data;
mod difference;
mod drive;
mod keyed;
mod models;
mod report;
mod required;
#[cfg(test)]
mod tests;

pub use difference::Equality;
pub use keyed::KeyedOperators;
pub use models::{THRESHOLDS, tree_model};
pub use report::{CaseName, Report};
pub use required::{Required, RequiredError, Shortfall};

use std::time::Duration;

use crate::Backend;
use bench::{Bench, Checked, NotPassed};
use cases::{Case, Check};

/// How much the suite does.
#[derive(Clone, Debug)]
pub struct Options {
    /// Seed of all data, expressions and orders of polling.
    pub seed: u64,
    /// Rows of the morsels of a case.
    pub sizes: Sizes,
    /// How many random expressions the generated filter-project cases have in all.
    pub generated: usize,
    /// Only cells whose name starts so.
    pub only: Option<String>,
    /// How long tickets may all be pending before that is a failure.
    pub patience: Duration,
    /// [`TaskContext::morsel_rows`](crate::TaskContext::morsel_rows) during the run. Some inputs have
    /// more rows, so that outputs come in parts.
    pub morsel_rows: usize,
}

/// Rows of the morsels of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// 0, 1, 31, 32, 33 and 65 in every case; 1023, 1025 or 4099 in every eighth.
    Quick,
    /// 0, 1, 31, 32, 33, 65, 1023, 1025 and 4099 in every case.
    Full,
}

impl Options {
    /// Few rows: for the tests of a crate, in seconds.
    pub fn quick() -> Self {
        Self {
            seed: 1,
            sizes: Sizes::Quick,
            generated: 60,
            only: None,
            patience: Duration::from_secs(20),
            morsel_rows: 1024,
        }
    }

    /// The whole size list in every case: for CI, in minutes.
    pub fn full() -> Self {
        Self { sizes: Sizes::Full, generated: 600, ..Self::quick() }
    }
}

/// Puts a backend through the cells of fragments.
pub fn run(backend: &dyn Backend, options: &Options) -> Report {
    run_cases(backend.device().to_string(), options, &|number, case| match &case.check {
        Check::Fragments(check) => Some(check(&mut Bench::new(backend, options, number, &case.name))),
        Check::Keyed(_) => None,
    })
}

/// Puts keyed operators through their cells.
///
/// ```
/// use sabot_ops::conformance::{self, Options};
/// use sabot_ops::testing::ReferenceBackend;
/// let options = Options { only: Some("rank/limit".to_owned()), ..Options::quick() };
/// let report = conformance::run_keyed(&ReferenceBackend::new(), &options);
/// assert!(report.failed.is_empty() && !report.passed.is_empty(), "{report}");
/// ```
pub fn run_keyed(operators: &dyn KeyedOperators, options: &Options) -> Report {
    run_cases(operators.device().to_string(), options, &|number, case| match &case.check {
        Check::Keyed(check) => Some(check(&mut Bench::new(operators, options, number, &case.name))),
        Check::Fragments(_) => None,
    })
}

/// The report of those cases that `check` has an answer to.
fn run_cases(device: String, options: &Options, check: &dyn Fn(usize, &Case) -> Option<Checked>) -> Report {
    let mut report = Report { device, ..Report::default() };
    for (number, case) in cases::all(options).into_iter().enumerate() {
        if options.only.as_ref().is_some_and(|only| !case.name.cell.starts_with(only.as_str())) {
            continue;
        }
        match check(number, &case) {
            None => {}
            Some(Ok(())) => report.passed.push(case.name),
            Some(Err(NotPassed::Refused(reason))) => report.refused.push((case.name, reason)),
            Some(Err(NotPassed::Failed(difference))) => report.failed.push((case.name, difference)),
        }
    }
    report
}

/// The names of all cells, in the order in which they run: what a file for [`Required`] can list.
pub fn cells() -> Vec<String> {
    let mut cells: Vec<String> = Vec::new();
    for case in cases::all(&Options::quick()) {
        if !cells.contains(&case.name.cell) {
            cells.push(case.name.cell);
        }
    }
    cells
}
