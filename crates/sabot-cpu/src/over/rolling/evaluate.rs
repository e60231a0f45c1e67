//! From frames to columns of intermediate results.

use std::cmp::Ordering;
use std::ops::Range;

use super::batch::Batch;
use super::folds::{
    ExactMoment, ExactMoments, Extreme, FloatSum, Fold, FoldKind, InternedExtreme, Moment, Moments, Sum,
    WideExtreme, WideSums, fold,
};
use super::history::{BLOCK_BITS, History};
use super::layout::{Cell, Edge, Layout, Output};
use super::{Rolling, count_flags, flag_place};
use crate::group_by::AccumulateError;
use crate::over::bad;
use arrow::datatypes::{DataType, i256};

/// A column of intermediate results.
pub(super) enum Column {
    Counts(Vec<i64>),
    Sums(Vec<i128>),
    WideSums(Vec<i256>),
    Floats(Vec<f64>),
    /// Ordered words, or ids.
    Words(Vec<u64>),
    Wide(Vec<i128>),
    Moments(Vec<Moment>),
    Exact(Vec<ExactMoment>),
}

/// Values taken from other rows: their words, and which there are.
#[derive(Default)]
pub(super) struct Picked {
    pub(super) words: Vec<u64>,
    pub(super) valid: Vec<bool>,
}

/// All intermediate results of a batch.
pub(super) struct Cells {
    pub(super) columns: Vec<Column>,
    /// By output; empty for those that are no values of other rows.
    pub(super) picked: Vec<Picked>,
}

impl Cells {
    pub(super) fn new(layout: &Layout, rows: usize) -> Self {
        let columns = layout.cells.iter().map(|cell| match cell {
            Cell::Count { .. } | Cell::Distinct { .. } => Column::Counts(Vec::with_capacity(rows)),
            Cell::Fold { fold, .. } => match layout.folds[*fold].kind {
                FoldKind::Sum => Column::Sums(Vec::with_capacity(rows)),
                FoldKind::WideSum => Column::WideSums(Vec::with_capacity(rows)),
                FoldKind::FloatSum => Column::Floats(Vec::with_capacity(rows)),
                FoldKind::WideLeast | FoldKind::WideGreatest => Column::Wide(Vec::with_capacity(rows)),
                FoldKind::Moments => Column::Moments(Vec::with_capacity(rows)),
                FoldKind::ExactMoments => Column::Exact(Vec::with_capacity(rows)),
                FoldKind::Least
                | FoldKind::Greatest
                | FoldKind::InternedLeast
                | FoldKind::InternedGreatest => Column::Words(Vec::with_capacity(rows)),
            },
        });
        let picked = layout.outputs.iter().map(|_| Picked::default());
        Self { columns: columns.collect(), picked: picked.collect() }
    }

    pub(super) fn counts(&self, cell: usize) -> Result<&[i64], AccumulateError> {
        match &self.columns[cell] {
            Column::Counts(counts) => Ok(counts),
            _ => Err(bad("a cell of counts that is none")),
        }
    }
}

/// The place where a frame begins or ends, for each row of a portion.
type Places = Vec<u32>;

impl Rolling {
    /// Appends the intermediate results of a portion, all rows of which were appended.
    pub(super) fn evaluate(&mut self, batch: &Batch, portion: Range<usize>, cells: &mut Cells) {
        let ids = &batch.ids[portion.clone()];
        let own = ids.iter().zip(&batch.numbers[portion.clone()]);
        let own: Places =
            own.map(|(id, number)| self.histories[*id as usize].place(*number) as u32).collect();
        let times = &batch.times[portion];
        let edges: Vec<Places> =
            (0..self.layout.edges.len()).map(|e| self.edge(e, ids, times, &own)).collect();
        let frames: Vec<(&Places, &Places)> =
            self.layout.frames.iter().map(|(start, end)| (&edges[*start], &edges[*end])).collect();
        let (mut bests, mut nth) = (std::mem::take(&mut self.bests), 0);
        for (cell, column) in self.layout.cells.iter().zip(&mut cells.columns) {
            match (cell, column) {
                (Cell::Fold { frame, fold }, Column::Words(out)) if self.layout.is_best(cell) => {
                    let rows = ids.iter().zip(ranges(frames[*frame]));
                    match self.layout.folds[*fold].kind {
                        FoldKind::Least => self.best::<true>(&mut bests, (nth, *fold), rows, out),
                        _ => self.best::<false>(&mut bests, (nth, *fold), rows, out),
                    }
                    nth += 1;
                }
                (Cell::Count { frame, flag: None }, Column::Counts(counts)) => {
                    let rows = ranges(frames[*frame]);
                    counts.extend(rows.map(|rows| rows.len() as i64));
                }
                (Cell::Count { frame, flag: Some(flag) }, Column::Counts(counts)) => {
                    let (lane, shift) = flag_place(&self.layout, *flag);
                    let rows = ids.iter().zip(ranges(frames[*frame]));
                    counts.extend(rows.map(|(id, rows)| {
                        count_flags(self.histories[*id as usize].lane(lane), shift, rows) as i64
                    }));
                }
                (Cell::Distinct { frame, distinct }, Column::Counts(counts)) => {
                    let (input, lane) = self.layout.distinct[*distinct];
                    let links = &mut self.links[*distinct];
                    for (id, rows) in ids.iter().zip(ranges(frames[*frame])) {
                        let (history, slot) = (&self.histories[*id as usize], *id as usize);
                        let at = (lane, *frame);
                        counts.push(links.count(history, slot, at, &self.layout, input, rows));
                    }
                }
                (Cell::Fold { frame, fold }, column) => {
                    let frames = frames[*frame];
                    let rows = ids.iter().zip(ranges(frames));
                    self.fold_frames(*fold, rows, column);
                }
                // Columns were made for their cells.
                _ => {}
            }
        }
        self.bests = bests;
        for ((output, _), picked) in self.layout.outputs.iter().zip(&mut cells.picked) {
            let (input, rows): (usize, Vec<Option<u32>>) = match output {
                Output::Lag { input, rows } => {
                    let back = u32::try_from(*rows).unwrap_or(u32::MAX);
                    (*input, own.iter().map(|row| row.checked_sub(back)).collect())
                }
                Output::First { input, frame } => {
                    let first = |rows: Range<usize>| (!rows.is_empty()).then_some(rows.start as u32);
                    (*input, ranges(frames[*frame]).map(first).collect())
                }
                Output::Last { input, frame } => {
                    let last = |rows: Range<usize>| (!rows.is_empty()).then(|| rows.end as u32 - 1);
                    (*input, ranges(frames[*frame]).map(last).collect())
                }
                _ => continue,
            };
            self.pick(input, ids, &rows, picked);
        }
    }

    fn edge(&mut self, edge: usize, ids: &[u32], times: &[i64], own: &[u32]) -> Places {
        match self.layout.edges[edge] {
            Edge::RowsFrom(n) => {
                let n = u32::try_from(n).unwrap_or(u32::MAX);
                own.iter().map(|row| row.saturating_sub(n)).collect()
            }
            Edge::RowsBehind(n) => {
                let n = u32::try_from(n).unwrap_or(u32::MAX);
                own.iter().map(|row| (row + 1).saturating_sub(n)).collect()
            }
            Edge::From(far) => self.search(edge, ids, times, |row, time| row < time.saturating_sub(far)),
            Edge::Behind(far) => self.search(edge, ids, times, |row, time| row <= time.saturating_sub(far)),
        }
    }

    /// For each row the first row of its key that is not `before` its time. It never goes back.
    fn search(
        &mut self,
        edge: usize,
        ids: &[u32],
        times: &[i64],
        before: impl Fn(i64, i64) -> bool,
    ) -> Places {
        let Some(mark) = self.mark_of[edge] else { return Places::new() };
        let mut places = Places::with_capacity(ids.len());
        for (id, time) in ids.iter().zip(times) {
            let slot = *id as usize;
            let rows = self.histories[slot].lane(0);
            let mark = &mut self.marks[slot * self.marks_per_key + mark];
            let behind = rows.iter(*mark as usize..self.histories[slot].rows());
            *mark += behind.take_while(|row| before(*row as i64, *time)).count() as u32;
            places.push(*mark);
        }
        places
    }

    fn fold_frames<'a>(
        &self,
        fold: usize,
        rows: impl Iterator<Item = (&'a u32, Range<usize>)>,
        column: &mut Column,
    ) {
        let (kind, input) = (self.layout.folds[fold].kind, self.layout.folds[fold].input);
        let at = (fold, input);
        match (kind, column) {
            (FoldKind::Sum, Column::Sums(out)) => {
                match self.layout.totals.iter().find(|(other, _)| *other == input) {
                    Some((_, lane)) => self.differences(*lane, at, rows, out),
                    None => self.fold_rows(&self.sum(input), at, rows, out),
                }
            }
            (FoldKind::WideSum, Column::WideSums(out)) => self.fold_rows(&WideSums, at, rows, out),
            (FoldKind::FloatSum, Column::Floats(out)) => self.fold_rows(&FloatSum, at, rows, out),
            (FoldKind::Moments, Column::Moments(out)) => self.fold_rows(&Moments, at, rows, out),
            (FoldKind::ExactMoments, Column::Exact(out)) => {
                self.fold_rows(&ExactMoments { shift: self.shift(input) }, at, rows, out);
            }
            (FoldKind::WideLeast, Column::Wide(out)) => {
                self.fold_rows(&WideExtreme { wanted: Ordering::Less }, at, rows, out);
            }
            (FoldKind::WideGreatest, Column::Wide(out)) => {
                self.fold_rows(&WideExtreme { wanted: Ordering::Greater }, at, rows, out);
            }
            (FoldKind::InternedLeast, Column::Words(out)) => {
                if let Some(interned) = &self.interned[input] {
                    self.fold_rows(&InternedExtreme { wanted: Ordering::Less, interned }, at, rows, out);
                }
            }
            (FoldKind::InternedGreatest, Column::Words(out)) => {
                if let Some(interned) = &self.interned[input] {
                    self.fold_rows(&InternedExtreme { wanted: Ordering::Greater, interned }, at, rows, out);
                }
            }
            // Columns were made for their folds; least and greatest words are found by links.
            _ => {}
        }
    }

    fn fold_rows<'a, F: Fold>(
        &self,
        one: &F,
        (place, input): (usize, usize),
        rows: impl Iterator<Item = (&'a u32, Range<usize>)>,
        out: &mut Vec<F::State>,
    ) {
        let at = (self.shape, self.layout.block_offset(place));
        for (id, rows) in rows {
            let history = &self.histories[*id as usize];
            let numbers = history.base() + rows.start as u64..history.base() + rows.end as u64;
            out.push(fold(one, history, at, self.values(history, input), numbers));
        }
    }

    /// Sums as differences of the sums of all rows before, which are exact modulo 2⁶⁴. Where a sum may be beyond
    /// that it is added up.
    fn differences<'a>(
        &self,
        totals: usize,
        (place, input): (usize, usize),
        rows: impl Iterator<Item = (&'a u32, Range<usize>)>,
        out: &mut Vec<i128>,
    ) {
        let (lane, largest) = (self.layout.inputs[input].lane, self.largest[input]);
        let rows_max = (i64::MAX as u64).checked_div(largest).unwrap_or(u64::MAX);
        for (id, rows) in rows {
            let history = &self.histories[*id as usize];
            if rows.is_empty() {
                out.push(0);
            } else if rows.len() as u64 <= rows_max {
                let last = rows.end - 1;
                let behind = history.word(totals, last).wrapping_add(history.word(lane, last));
                out.push(i128::from(behind.wrapping_sub(history.word(totals, rows.start)) as i64));
            } else {
                let numbers = history.base() + rows.start as u64..history.base() + rows.end as u64;
                let at = (self.shape, self.layout.block_offset(place));
                out.push(fold(&self.sum(input), history, at, self.values(history, input), numbers));
            }
        }
    }

    fn sum(&self, input: usize) -> Sum {
        Sum { largest: self.largest[input], shift: self.shift(input) }
    }

    /// What the words of an input are less than its values.
    fn shift(&self, input: usize) -> i128 {
        if self.layout.inputs[input].data_type == DataType::UInt64 { 1 << 63 } else { 0 }
    }

    /// Folds the blocks that a row completes.
    pub(super) fn fold_blocks(&mut self, slot: usize, number: u64) {
        if self.shape.block == 0 {
            return;
        }
        for level in 1.. {
            let bits = BLOCK_BITS * level;
            let block = (number + 1) >> bits;
            if block << bits != number + 1 || (block - 1) << bits < self.histories[slot].base() {
                break;
            }
            for fold in 0..self.layout.folds.len() {
                self.fold_block(slot, fold, level, block - 1);
            }
        }
    }

    fn fold_block(&mut self, slot: usize, fold: usize, level: u32, block: u64) {
        let (kind, input) = (self.layout.folds[fold].kind, self.layout.folds[fold].input);
        match kind {
            FoldKind::Sum => self.fold_into(&self.sum(input), slot, fold, level, block),
            FoldKind::WideSum => self.fold_into(&WideSums, slot, fold, level, block),
            FoldKind::FloatSum => self.fold_into(&FloatSum, slot, fold, level, block),
            FoldKind::Least => self.fold_into(&Extreme::<true>, slot, fold, level, block),
            FoldKind::Greatest => self.fold_into(&Extreme::<false>, slot, fold, level, block),
            FoldKind::WideLeast => {
                self.fold_into(&WideExtreme { wanted: Ordering::Less }, slot, fold, level, block)
            }
            FoldKind::WideGreatest => {
                self.fold_into(&WideExtreme { wanted: Ordering::Greater }, slot, fold, level, block)
            }
            FoldKind::InternedLeast | FoldKind::InternedGreatest => {
                let wanted = match kind {
                    FoldKind::InternedLeast => Ordering::Less,
                    _ => Ordering::Greater,
                };
                match &self.interned[input] {
                    Some(interned) => {
                        self.fold_into(&InternedExtreme { wanted, interned }, slot, fold, level, block)
                    }
                    None => return,
                }
            }
            FoldKind::Moments => self.fold_into(&Moments, slot, fold, level, block),
            FoldKind::ExactMoments => {
                self.fold_into(&ExactMoments { shift: self.shift(input) }, slot, fold, level, block)
            }
        }
        .keep(&mut self.histories[slot], self.shape, level, block);
    }

    /// The words of a block's fold, and where they stand in it.
    fn fold_into<F: Fold>(&self, one: &F, slot: usize, place: usize, level: u32, block: u64) -> BlockWords {
        let (history, offset) = (&self.histories[slot], self.layout.block_offset(place));
        let input = self.layout.folds[place].input;
        let below = block << BLOCK_BITS..(block + 1) << BLOCK_BITS;
        let state = match level {
            1 => one.rows(self.values(history, input), history.place(below.start)..history.place(below.end)),
            _ => below.fold(one.empty(), |state, number| {
                let words = history.block(self.shape, level - 1, number);
                one.merge(state, one.load(&words[offset..]))
            }),
        };
        let mut words = [0; 7];
        one.store(state, &mut words);
        BlockWords { words, offset, length: self.layout.folds[place].kind.words() }
    }

    /// Takes the values of an input from other rows.
    fn pick(&self, input: usize, ids: &[u32], rows: &[Option<u32>], picked: &mut Picked) {
        let input = &self.layout.inputs[input];
        let flag = input.valid.map(|flag| flag_place(&self.layout, flag));
        for (id, row) in ids.iter().zip(rows) {
            let history = &self.histories[*id as usize];
            let row = row.map(|row| row as usize);
            let there =
                |row: &usize| flag.is_none_or(|(lane, shift)| history.word(lane, *row) >> shift & 1 == 1);
            let row = row.filter(there);
            picked.valid.push(row.is_some());
            for lane in input.lane..input.lane + input.form.width() {
                picked.words.push(row.map_or(0, |row| history.word(lane, row)));
            }
        }
    }
}

/// The fold of a block as words.
struct BlockWords {
    words: [u64; 7],
    offset: usize,
    length: usize,
}

impl BlockWords {
    fn keep(self, history: &mut History, shape: super::history::Shape, level: u32, block: u64) {
        let place = &mut history.block_mut(shape, level, block)[self.offset..self.offset + self.length];
        place.copy_from_slice(&self.words[..self.length]);
    }
}

/// The rows of frames; one that ends before it begins has none.
fn ranges<'a>((starts, ends): (&'a Places, &'a Places)) -> impl Iterator<Item = Range<usize>> + 'a {
    starts.iter().zip(ends).map(|(start, end)| *start as usize..(*end).max(*start) as usize)
}
