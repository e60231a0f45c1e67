//! Who can stop reading when a limit has its rows.
//!
//! A stream without end has no end of its own, so a job that wants ten rows of one would run for ever. A limit
//! that is through therefore ends the sources that feed it, if they feed nobody else. Those that end by
//! themselves are read to their end all the same: a row behind the last that is wanted may be one that cannot be
//! computed, that came too late, or that belongs among the dead letters, and whether it is found must not
//! depend on how fast somebody read.

use std::collections::BTreeSet;

use crate::{KeyedStage, RankStage, Stage, StageKind};

/// Writes into each limit which of the `endless` source stages feed it alone.
pub(super) fn name(stages: &mut [Stage], endless: &[usize]) {
    for index in 0..stages.len() {
        if limit(stages, index).is_none() {
            continue;
        }
        let feeders = endless.iter().copied().filter(|source| all_leads_to(stages, *source, index)).collect();
        if let Some(limit) = limit(stages, index) {
            limit.feeders = feeders;
        }
    }
}

/// The stage, if it is one that may be through before its input ends.
fn limit(stages: &mut [Stage], index: usize) -> Option<&mut RankStage> {
    match &mut stages[index].kind {
        StageKind::Keyed(KeyedStage::Rank(stage)) => {
            Some(stage).filter(|s| s.as_it_goes && s.spec.groups.is_empty() && s.spec.fetch.is_some())
        }
        _ => None,
    }
}

/// Whether every row of a source ends in stage `end`, or on the way to it.
fn all_leads_to(stages: &[Stage], source: usize, end: usize) -> bool {
    let (mut reached, mut open) = (BTreeSet::new(), vec![source]);
    while let Some(stage) = open.pop() {
        if stage == end || !reached.insert(stage) {
            continue;
        }
        let reads = |(_, other): &(usize, &Stage)| {
            let table = matches!(&other.kind, StageKind::Lookup(lookup) if lookup.table == stage);
            table || other.inputs.iter().any(|input| input.stage == stage)
        };
        let readers: Vec<usize> = stages.iter().enumerate().filter(reads).map(|(i, _)| i).collect();
        if readers.is_empty() {
            return false;
        }
        open.extend(readers);
    }
    true
}
