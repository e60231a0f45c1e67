//! All cases, operator by operator.

mod filter_project;
mod fragments;
mod functions;
pub(super) mod generated;
mod group_by;
mod join;
mod over;
mod partition;
mod predict;
mod rank;
mod rolling;
mod union;
mod unnest;
mod window_assign;

use super::bench::{Bench, Checked};
use super::keyed::KeyedBench;
use super::{CaseName, Options};

/// One case: what it is called, and how it is put to what it tests.
pub(super) struct Case {
    pub(super) name: CaseName,
    pub(super) check: Check,
}

/// A check of a backend's fragments, or of keyed operators.
pub(super) enum Check {
    Fragments(Box<dyn Fn(&mut Bench<'_>) -> Checked>),
    Keyed(Box<dyn Fn(&mut KeyedBench<'_>) -> Checked>),
}

/// A list of cases under construction.
#[derive(Default)]
struct Cases {
    list: Vec<Case>,
}

impl Cases {
    /// The only case of a cell.
    fn cell(&mut self, cell: impl Into<String>, check: impl Fn(&mut Bench<'_>) -> Checked + 'static) {
        self.case(cell, String::new(), check);
    }

    /// One of several cases of a cell.
    fn case(
        &mut self,
        cell: impl Into<String>,
        detail: impl Into<String>,
        check: impl Fn(&mut Bench<'_>) -> Checked + 'static,
    ) {
        self.add(cell, detail, Check::Fragments(Box::new(check)));
    }

    /// One of several cases of a cell of keyed operators.
    fn keyed(
        &mut self,
        cell: impl Into<String>,
        detail: impl Into<String>,
        check: impl Fn(&mut KeyedBench<'_>) -> Checked + 'static,
    ) {
        self.add(cell, detail, Check::Keyed(Box::new(check)));
    }

    fn add(&mut self, cell: impl Into<String>, detail: impl Into<String>, check: Check) {
        let name = CaseName { cell: cell.into(), detail: detail.into() };
        self.list.push(Case { name, check });
    }
}

/// Every case; `options` says how many there are of the random ones.
pub(super) fn all(options: &Options) -> Vec<Case> {
    let mut cases = Cases::default();
    filter_project::add(&mut cases);
    functions::add(&mut cases);
    generated::add(&mut cases, options.generated);
    window_assign::add(&mut cases);
    group_by::add(&mut cases);
    partition::add(&mut cases);
    union::add(&mut cases);
    unnest::add(&mut cases);
    predict::add(&mut cases);
    fragments::add(&mut cases);
    join::add(&mut cases);
    rank::add(&mut cases);
    over::add(&mut cases);
    rolling::add(&mut cases);
    cases.list
}
