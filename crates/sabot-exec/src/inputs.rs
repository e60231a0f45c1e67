//! Many edges into one task: watermarks merged, barriers aligned, ends counted.
//!
//! Edges are visited in turn, so that none of them starves. Edges that have delivered a barrier are left
//! alone while it aligns, and those of an input that the operator has no use for yet (the probe side of a
//! join whose build side loads) while no barrier does; at no other time does a task refuse one input
//! because another lags.

use sabot_common::EventTime;
use sabot_time::{MergeEvent, WatermarkMerge};
use std::collections::VecDeque;
use std::sync::Arc;

use crate::edge::Edge;
use crate::element::{Barrier, Charged, Element};
use crate::error::JobError;

/// What a task sees of its inputs.
#[derive(Debug)]
pub(crate) enum Input {
    /// Rows, with where they came in.
    Rows(From, Charged),
    /// The combined watermark rose.
    Watermark(EventTime),
    /// An input has delivered all its rows.
    Through(usize),
    /// Every input is idle.
    Idle,
    /// A barrier has arrived on every input that is still open.
    Barrier(Barrier),
    /// A row has failed upstream.
    Failed(JobError),
    /// Every input has ended.
    End,
}

/// Where rows came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct From {
    /// The input of the stage.
    pub(crate) input: usize,
    /// The edge among all edges of the task.
    pub(crate) edge: usize,
}

#[derive(Debug)]
struct Source {
    edge: Arc<Edge>,
    /// Which input of the stage the edge belongs to.
    input: usize,
    /// All rows have come.
    through: bool,
    ended: bool,
    /// The barrier that this edge has delivered and others have not yet.
    barrier: Option<Barrier>,
}

#[derive(Debug)]
pub(crate) struct Inputs {
    sources: Vec<Source>,
    merge: WatermarkMerge,
    turn: usize,
    /// What an element came to and the task has not seen yet.
    queued: VecDeque<Input>,
    over: bool,
}

impl Inputs {
    /// The edges of each input of the stage.
    pub(crate) fn new(inputs: Vec<Vec<Arc<Edge>>>) -> Self {
        // A source without partitions is a bounded stream without rows.
        let empty = inputs.iter().enumerate().filter(|(_, edges)| edges.is_empty());
        let mut queued: VecDeque<Input> = empty.map(|(input, _)| Input::Through(input)).collect();
        if inputs.iter().all(Vec::is_empty) {
            queued.push_back(Input::Watermark(EventTime::MAX));
        }
        let source = |(input, edge)| Source { edge, input, through: false, ended: false, barrier: None };
        let edges =
            inputs.into_iter().enumerate().flat_map(|(i, edges)| edges.into_iter().map(move |e| (i, e)));
        let sources: Vec<Source> = edges.map(source).collect();
        Self { merge: WatermarkMerge::new(sources.len()), sources, turn: 0, queued, over: false }
    }

    /// The next thing that happened, or none for now.
    pub(crate) fn next(&mut self) -> Option<Input> {
        self.next_of(|_| true)
    }

    /// As [`Inputs::next`], where rows of inputs that are not wanted may wait.
    pub(crate) fn next_of(&mut self, wanted: impl Fn(usize) -> bool) -> Option<Input> {
        loop {
            if let Some(input) = self.queued.pop_front() {
                return Some(input);
            }
            if self.over {
                return None;
            }
            if self.sources.iter().all(|s| s.ended) {
                self.over = true;
                return Some(Input::End);
            }
            let (index, element) = self.pop(&wanted)?;
            self.take(index, element);
        }
    }

    fn pop(&mut self, wanted: impl Fn(usize) -> bool) -> Option<(usize, Element)> {
        let n = self.sources.len();
        // What stands before a barrier must come in, wanted or not, or it would never align.
        let aligning = self.sources.iter().any(|s| s.barrier.is_some());
        // Nor is there anything to wait for once all that is wanted has ended, as it may in a suspended run.
        let over = !self.sources.iter().any(|s| !s.ended && wanted(s.input));
        let all = aligning || over;
        for step in 0..n {
            let index = (self.turn + step) % n;
            let source = &self.sources[index];
            if source.ended || source.barrier.is_some() || !(all || wanted(source.input)) {
                continue;
            }
            if let Some(element) = source.edge.pop() {
                self.turn = (index + 1) % n;
                return Some((index, element));
            }
        }
        None
    }

    fn take(&mut self, index: usize, element: Element) {
        match element {
            Element::Morsel(rows) => {
                // A stage that was idle says that it is back before the rows, which may all be dropped.
                let active = self.merge.on_active(index);
                self.merged(active);
                let from = From { input: self.sources[index].input, edge: index };
                self.queued.push_back(Input::Rows(from, rows));
            }
            // The final watermark is the end of the input's rows: it no longer counts, and while others
            // are idle it must not stand for them.
            Element::Watermark(EventTime::MAX) => {
                self.through(index);
                let rose = self.merge.on_end(index);
                self.merged(rose);
            }
            Element::Watermark(time) => {
                let rose = self.merge.on_watermark(index, time);
                self.merged(rose);
            }
            Element::Idle => {
                let idle = self.merge.on_idle(index);
                self.merged(idle);
            }
            Element::Failed(error) => self.queued.push_back(Input::Failed(error)),
            Element::Barrier(barrier) => {
                self.sources[index].barrier = Some(barrier);
                self.align();
            }
            Element::End => {
                // The merge is not told: an input that is through has sent the final watermark, and one
                // that was suspended must go on holding windows back.
                self.sources[index].ended = true;
                self.align();
            }
        }
    }

    /// An edge has delivered all its rows; says so of its input when it was the last.
    fn through(&mut self, index: usize) {
        let input = self.sources[index].input;
        self.sources[index].through = true;
        if self.sources.iter().filter(|s| s.input == input).all(|s| s.through) {
            self.queued.push_back(Input::Through(input));
        }
    }

    fn merged(&mut self, event: Option<MergeEvent>) {
        match event {
            Some(MergeEvent::Watermark(time)) => self.queued.push_back(Input::Watermark(time)),
            Some(MergeEvent::Idle) => self.queued.push_back(Input::Idle),
            Some(MergeEvent::WatermarkThenIdle(time)) => {
                self.queued.extend([Input::Watermark(time), Input::Idle]);
            }
            None => {}
        }
    }

    /// Lets a barrier through once every input that is still open has delivered it.
    fn align(&mut self) {
        let open = self.sources.iter().filter(|s| !s.ended);
        let Some(barriers) = open.map(|s| s.barrier).collect::<Option<Vec<Barrier>>>() else { return };
        // Inputs that ended behind the barrier may be the last it waited for.
        let barrier = barriers.first().copied().or_else(|| self.sources.iter().find_map(|s| s.barrier));
        if let Some(barrier) = barrier {
            debug_assert!(barriers.iter().all(|b| *b == barrier), "barriers of different epochs align");
            self.sources.iter_mut().for_each(|s| s.barrier = None);
            self.queued.push_back(Input::Barrier(barrier));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::BarrierKind;
    use sabot_common::Epoch;

    fn barrier(epoch: u64) -> Barrier {
        Barrier { epoch: Epoch(epoch), kind: BarrierKind::Checkpoint, stored: None }
    }

    fn two() -> (Arc<Edge>, Arc<Edge>, Inputs) {
        let (a, b) = (Arc::new(Edge::new(4)), Arc::new(Edge::new(4)));
        let inputs = Inputs::new(vec![vec![a.clone(), b.clone()]]);
        (a, b, inputs)
    }

    #[test]
    fn a_barrier_waits_for_every_open_input_and_holds_back_what_follows_it() {
        let (a, b, mut inputs) = two();
        a.push(Element::Barrier(barrier(1)));
        a.push(Element::Watermark(EventTime(9)));
        assert!(inputs.next().is_none());
        b.push(Element::Watermark(EventTime(5)));
        assert!(inputs.next().is_none());
        b.push(Element::Barrier(barrier(1)));
        assert!(matches!(inputs.next(), Some(Input::Barrier(got)) if got == barrier(1)));
        assert!(matches!(inputs.next(), Some(Input::Watermark(EventTime(5)))));
    }

    #[test]
    fn an_input_that_ends_no_longer_holds_a_barrier_back() {
        let (a, b, mut inputs) = two();
        a.push(Element::Barrier(barrier(1)));
        b.push(Element::End);
        assert!(matches!(inputs.next(), Some(Input::Barrier(_))));
        a.push(Element::End);
        assert!(matches!(inputs.next(), Some(Input::End)));
        assert!(inputs.next().is_none());
    }

    #[test]
    fn an_end_without_the_final_watermark_fires_nothing() {
        let (a, b, mut inputs) = two();
        a.push(Element::Watermark(EventTime::MAX));
        a.push(Element::End);
        b.push(Element::Watermark(EventTime(3)));
        b.push(Element::End);
        assert!(matches!(inputs.next(), Some(Input::Watermark(EventTime(3)))));
        assert!(matches!(inputs.next(), Some(Input::End)));
    }

    #[test]
    fn an_input_that_is_through_does_not_speak_for_idle_ones() {
        let (a, b, mut inputs) = two();
        a.push(Element::Watermark(EventTime(5)));
        a.push(Element::Idle);
        b.push(Element::Watermark(EventTime::MAX));
        b.push(Element::End);
        while let Some(input) = inputs.next() {
            assert!(!matches!(input, Input::Watermark(EventTime::MAX) | Input::End), "{input:?}");
        }
        a.push(Element::Watermark(EventTime::MAX));
        a.push(Element::End);
        assert!(matches!(inputs.next(), Some(Input::Through(0))));
        assert!(matches!(inputs.next(), Some(Input::Watermark(EventTime::MAX))));
        assert!(matches!(inputs.next(), Some(Input::End)));
    }

    #[test]
    fn no_inputs_are_a_stream_without_rows() {
        let mut inputs = Inputs::new(vec![Vec::new()]);
        assert!(matches!(inputs.next(), Some(Input::Through(0))));
        assert!(matches!(inputs.next(), Some(Input::Watermark(EventTime::MAX))));
        assert!(matches!(inputs.next(), Some(Input::End)));
        assert!(inputs.next().is_none());
    }

    fn build_and_probe() -> (Arc<Edge>, Arc<Edge>, Inputs) {
        let (probe, build) = (Arc::new(Edge::new(4)), Arc::new(Edge::new(4)));
        let inputs = Inputs::new(vec![vec![probe.clone()], vec![build.clone()]]);
        (probe, build, inputs)
    }

    #[test]
    fn an_input_that_is_not_wanted_waits_until_it_is() {
        let (probe, build, mut inputs) = build_and_probe();
        probe.push(Element::Watermark(EventTime(7)));
        build.push(Element::Watermark(EventTime::MAX));
        assert!(matches!(inputs.next_of(|input| input == 1), Some(Input::Through(1))));
        assert!(inputs.next_of(|input| input == 1).is_none());
        assert!(matches!(inputs.next(), Some(Input::Watermark(EventTime(7)))));
    }

    /// Without this a barrier that overtakes the build side's rows would stop the job for good.
    #[test]
    fn a_barrier_brings_in_what_is_not_wanted() {
        let (probe, build, mut inputs) = build_and_probe();
        probe.push(Element::Watermark(EventTime(7)));
        probe.push(Element::Barrier(barrier(1)));
        build.push(Element::Barrier(barrier(1)));
        let unwanted = |input| input == 1;
        assert!(matches!(inputs.next_of(unwanted), Some(Input::Barrier(got)) if got == barrier(1)));
    }

    /// A suspended build side has ended and is not through: it will never be wanted less.
    #[test]
    fn an_input_that_is_not_wanted_ends_with_those_that_are() {
        let (probe, build, mut inputs) = build_and_probe();
        probe.push(Element::End);
        assert!(inputs.next_of(|input| input == 1).is_none());
        build.push(Element::End);
        assert!(matches!(inputs.next_of(|input| input == 1), Some(Input::End)));
    }

    #[test]
    fn a_suspended_input_is_not_through() {
        let (probe, build, mut inputs) = build_and_probe();
        build.push(Element::End);
        probe.push(Element::End);
        assert!(matches!(inputs.next(), Some(Input::End)));
    }
}
