//! One total order for what several tasks produce.
//!
//! Rows are held until the watermark says that nothing before them can come, then leave sorted by
//! (event time, source partition, row number, key). A row that was late at its source stands where its
//! partition's watermark stood when it came: that place depends on the partition alone, so the order is
//! the same for any number of workers and any cut into morsels. Streams without event time are ordered
//! once, at their end.

use arrow::array::{AsArray, BinaryArray, BooleanArray, Int64Array, UInt16Array, UInt32Array, UInt64Array};
use arrow::compute::{filter_record_batch, interleave_record_batch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, UInt32Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use sabot_batch::hidden;
use sabot_common::{Epoch, EventTime};
use sabot_state::{GROUP, PART};
use sabot_stream::{CutPart, InCut, KeptRows, OperatorError, RowCuts};
use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// The column of a snapshot that says from which input a row came: uint32, not null.
const INPUT: &str = "__sabot.input";

/// The kind of rows in a snapshot.
const WAITING: &str = "waiting";

/// The key of the metadata of a cut's head under which the watermark stands, in µs.
const WATERMARK: &str = "sabot.watermark";

/// The columns of rows in a snapshot.
fn with_input(rows: &SchemaRef) -> Vec<FieldRef> {
    let mut fields: Vec<FieldRef> = rows.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(INPUT, DataType::UInt32, false)));
    fields.push(Arc::new(group_field()));
    fields
}

fn group_field() -> Field {
    Field::new(GROUP, DataType::UInt16, false)
}

/// Which rows should leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// Those that the watermark allows, once so many rows have come that looking at all of them again
    /// costs a bounded share of what they cost before.
    WhenItPays,
    /// Those that the watermark allows.
    Due,
    /// All.
    All,
}

/// Rows that wait for their turn.
///
/// Rows are copied out only when the sink takes them, and the batch that they came in is dropped with the
/// last of its rows: what is on its way out is never held twice.
#[derive(Default)]
pub(crate) struct OrderBuffer {
    /// By number; none where all rows have left.
    batches: Vec<Option<Held>>,
    /// Numbers of `batches` that are free.
    free: Vec<u32>,
    /// Rows whose turn has not come.
    rows: usize,
    bytes: usize,
    /// Rows that were looked at in vain last time: looking again pays only when as many have come.
    examined: usize,
    watermark: Option<EventTime>,
    /// Rows whose turn has come, in order.
    leaving: VecDeque<Entry>,
    cuts: RowCuts,
}

struct Held {
    input: usize,
    /// With hidden columns, as it came.
    whole: RecordBatch,
    visible: RecordBatch,
    times: Option<Int64Array>,
    lateness: Option<Int64Array>,
    partitions: Option<UInt32Array>,
    numbers: Option<UInt64Array>,
    keys: Option<BinaryArray>,
    /// Rows that are on their way out, or out.
    due: Vec<bool>,
    /// Rows that are not.
    waiting: usize,
    cut: InCut,
    /// Rows that have not been copied out.
    remaining: usize,
    bytes: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    time: i64,
    partition: u32,
    number: u64,
    batch: u32,
    row: u32,
}

impl OrderBuffer {
    /// Takes rows from an input.
    pub(crate) fn push(&mut self, input: usize, batch: RecordBatch, bytes: usize) {
        if batch.num_rows() == 0 {
            return;
        }
        self.rows += batch.num_rows();
        self.bytes += bytes;
        let held = Held {
            input,
            times: hidden::times(&batch).cloned(),
            lateness: hidden::lateness(&batch).cloned(),
            partitions: hidden::partitions(&batch).cloned(),
            numbers: hidden::row_numbers(&batch).cloned(),
            keys: hidden::keys(&batch).cloned(),
            due: vec![false; batch.num_rows()],
            waiting: batch.num_rows(),
            cut: InCut::default(),
            remaining: batch.num_rows(),
            visible: hidden::visible_batch(&batch),
            whole: batch,
            bytes,
        };
        match self.free.pop() {
            Some(number) => self.batches[number as usize] = Some(held),
            None => self.batches.push(Some(held)),
        }
    }

    /// What a snapshot has of rows with these columns.
    pub(crate) fn kept(rows: &SchemaRef) -> KeptRows {
        KeptRows { part: WAITING, schema: Schema::new(with_input(rows)).into() }
    }

    /// Begins a cut of the rows whose turn has not come, once those have left whose turn it was. A batch that has such rows
    /// is given as it came: which of its rows have left, the watermark says.
    pub(crate) fn begin_cut(&mut self, epoch: Epoch, stored: Option<Epoch>) {
        let rows = self.batches.iter().flatten().next().map(|held| held.whole.schema());
        let held = self.batches.iter_mut().flatten().filter(|held| held.waiting > 0);
        let mut metadata = HashMap::from([(PART.to_owned(), WAITING.to_owned())]);
        let watermark = self.watermark.unwrap_or(EventTime::MIN);
        metadata.insert(WATERMARK.to_owned(), watermark.micros().to_string());
        let fields = rows.map_or_else(|| vec![Arc::new(group_field())], |rows| with_input(&rows));
        let head = RecordBatch::new_empty(Arc::new(Schema::new(fields).with_metadata(metadata)));
        let held = held.map(|held| (&mut held.cut, held.input, 0, &held.whole));
        self.cuts.begin(epoch, stored, vec![head], held);
    }

    /// The next part of a cut that has begun.
    pub(crate) fn next_of_cut(&mut self, rows: usize) -> Result<CutPart, OperatorError> {
        self.cuts.next(rows, |input, _, rows| {
            let part = HashMap::from([(PART.to_owned(), WAITING.to_owned())]);
            let schema = Schema::new(with_input(rows.schema_ref())).with_metadata(part);
            let mut columns = rows.columns().to_vec();
            columns.push(Arc::new(UInt32Array::from(vec![input as u32; rows.num_rows()])));
            columns.push(Arc::new(UInt16Array::from(vec![0; rows.num_rows()])));
            RecordBatch::try_new(Arc::new(schema), columns)
                .map_err(|error| OperatorError::Input { message: error.to_string() })
        })
    }

    /// Takes in the rows of a cut, apart from those that have left.
    pub(crate) fn restore(&mut self, snapshot: &RecordBatch) -> Result<(), ArrowError> {
        if snapshot.num_rows() == 0 {
            return Ok(());
        }
        let watermark = snapshot.schema_ref().metadata().get(WATERMARK).and_then(|text| text.parse().ok());
        let watermark: i64 =
            watermark.ok_or_else(|| ArrowError::SchemaError(format!("rows without {WATERMARK}")))?;
        let (times, lateness) = (hidden::times(snapshot), hidden::lateness(snapshot));
        let waits = (0..snapshot.num_rows()).map(|row| Some(place(times, lateness, row) > watermark));
        let waits: BooleanArray = waits.collect();
        let snapshot = &filter_record_batch(snapshot, &waits)?;
        let inputs = snapshot.column_by_name(INPUT).and_then(|c| c.as_primitive_opt::<UInt32Type>());
        let inputs = inputs.ok_or_else(|| ArrowError::SchemaError("rows of another operator".to_owned()))?;
        let kept: Vec<usize> = (0..snapshot.num_columns())
            .filter(|column| ![INPUT, GROUP].contains(&snapshot.schema_ref().field(*column).name().as_str()))
            .collect();
        let rows = snapshot.project(&kept)?;
        let mut from = 0;
        for run in inputs.values().chunk_by(|a, b| a == b) {
            let part = rows.slice(from, run.len());
            let bytes = part.get_array_memory_size() / rows.num_rows().max(1) * run.len();
            self.push(run[0] as usize, part, bytes);
            from += run.len();
        }
        Ok(())
    }

    /// Bytes of the rows that have not left.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Notes a watermark and lets go of the rows whose turn has come; returns how many. They leave through
    /// [`OrderBuffer::next`].
    pub(crate) fn release(&mut self, watermark: EventTime, rows: usize, which: Release) -> usize {
        self.watermark = self.watermark.max(Some(watermark));
        let pays = self.rows >= self.examined * 2 + rows;
        if self.rows == 0 || (which == Release::WhenItPays && !pays) {
            return 0;
        }
        let watermark = match which {
            Release::All => EventTime::MAX,
            Release::Due | Release::WhenItPays => self.watermark.unwrap_or(EventTime::MIN),
        };
        let mut due = self.take_due(watermark);
        due.sort_by(|a, b| self.compare(a, b));
        self.rows -= due.len();
        self.examined = self.rows;
        let released = due.len();
        self.leaving.extend(due);
        released
    }

    /// The next rows that leave, at most `rows` (0 counts as 1); none when none are on their way.
    pub(crate) fn next(&mut self, rows: usize) -> Result<Option<RecordBatch>, ArrowError> {
        let rows = rows.clamp(1, self.leaving.len().max(1));
        let part: Vec<Entry> = self.leaving.drain(..rows.min(self.leaving.len())).collect();
        if part.is_empty() {
            return Ok(None);
        }
        let batch = self.gather(&part)?;
        self.forget(&part);
        Ok(Some(batch))
    }

    fn take_due(&mut self, watermark: EventTime) -> Vec<Entry> {
        let mut due = Vec::with_capacity(self.rows);
        for (index, held) in self.batches.iter_mut().enumerate() {
            let Some(held) = held else { continue };
            for row in 0..held.due.len() {
                if held.due[row] {
                    continue;
                }
                let place = place(held.times.as_ref(), held.lateness.as_ref(), row);
                if place <= watermark.micros() {
                    held.due[row] = true;
                    held.waiting -= 1;
                    due.push(Entry {
                        time: place,
                        partition: held.partitions.as_ref().map_or(0, |p| p.value(row)),
                        number: held.numbers.as_ref().map_or(0, |n| n.value(row)),
                        batch: index as u32,
                        row: row as u32,
                    });
                }
            }
        }
        due
    }

    /// The order; rows equal in all of it keep the order of their input.
    fn compare(&self, a: &Entry, b: &Entry) -> Ordering {
        let place = (a.time, a.partition, a.number).cmp(&(b.time, b.partition, b.number));
        place.then_with(|| {
            let (Some(x), Some(y)) = (&self.batches[a.batch as usize], &self.batches[b.batch as usize])
            else {
                return Ordering::Equal;
            };
            let keys = match (&x.keys, &y.keys) {
                (Some(k), Some(l)) => k.value(a.row as usize).cmp(l.value(b.row as usize)),
                _ => Ordering::Equal,
            };
            keys.then(x.input.cmp(&y.input))
        })
    }

    /// Copies rows out.
    fn gather(&self, part: &[Entry]) -> Result<RecordBatch, ArrowError> {
        let held = |entry: &Entry| {
            let held = self.batches[entry.batch as usize].as_ref();
            held.ok_or_else(|| ArrowError::ComputeError("a row left before its turn".to_owned()))
        };
        let (first, last) = (part[0], part[part.len() - 1]);
        let span = last.row.wrapping_sub(first.row) as usize + 1;
        let one_run = first.batch == last.batch
            && span == part.len()
            && part.windows(2).all(|w| w[0].batch == w[1].batch && w[0].row + 1 == w[1].row);
        if one_run {
            // Rows of one task that are in order already: nothing needs to be moved.
            return Ok(held(&first)?.visible.slice(first.row as usize, part.len()));
        }
        // Only the batches that the part draws on, or small parts would pay for all of them.
        let mut place = vec![usize::MAX; self.batches.len()];
        let mut sources: Vec<&RecordBatch> = Vec::new();
        let mut indices: Vec<(usize, usize)> = Vec::with_capacity(part.len());
        for entry in part {
            let batch = entry.batch as usize;
            if place[batch] == usize::MAX {
                place[batch] = sources.len();
                sources.push(&held(entry)?.visible);
            }
            indices.push((place[batch], entry.row as usize));
        }
        interleave_record_batch(&sources, &indices)
    }

    fn forget(&mut self, part: &[Entry]) {
        for entry in part {
            let slot = &mut self.batches[entry.batch as usize];
            let Some(held) = slot else { continue };
            held.remaining -= 1;
            if held.remaining == 0 {
                self.bytes -= held.bytes;
                *slot = None;
                self.free.push(entry.batch);
            }
        }
    }
}

/// Where a row stands in time. Without event time no watermark says what may still come: such rows wait for the end.
fn place(times: Option<&Int64Array>, lateness: Option<&Int64Array>, row: usize) -> i64 {
    let time = times.map_or(i64::MAX, |times| times.value(row));
    time.saturating_add(lateness.map_or(0, |lateness| lateness.value(row)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, AsArray};
    use arrow::datatypes::Int64Type;
    use std::sync::Arc;

    fn batch(rows: &[(i64, u32, u64)], timed: bool) -> RecordBatch {
        let column =
            |f: &dyn Fn(&(i64, u32, u64)) -> i64| Int64Array::from(rows.iter().map(f).collect::<Vec<_>>());
        let mut columns: Vec<(&str, ArrayRef)> = vec![("n", Arc::new(column(&|r| r.2 as i64)))];
        if timed {
            columns.push((hidden::TIME, Arc::new(column(&|r| r.0))));
        }
        let partitions: UInt32Array = rows.iter().map(|r| r.1).collect::<Vec<_>>().into();
        let numbers: UInt64Array = rows.iter().map(|r| r.2).collect::<Vec<_>>().into();
        columns.push((hidden::PARTITION, Arc::new(partitions)));
        columns.push((hidden::ROW, Arc::new(numbers)));
        RecordBatch::try_from_iter(columns).unwrap()
    }

    /// Releases rows and takes all that leave, in batches of at most `rows`.
    fn leave(order: &mut OrderBuffer, watermark: EventTime, rows: usize, which: Release) -> Vec<RecordBatch> {
        order.release(watermark, rows, which);
        std::iter::from_fn(|| order.next(rows).unwrap()).collect()
    }

    /// What is on its way out does not keep what has left.
    #[test]
    fn batches_are_dropped_while_rows_leave() {
        let mut order = OrderBuffer::default();
        for i in 0..10 {
            order.push(0, batch(&[(i, 0, i as u64), (i, 0, i as u64)], true), 16);
        }
        assert_eq!(order.release(EventTime::MAX, 2, Release::All), 20);
        for left in (0..10).rev() {
            assert_eq!(order.next(2).unwrap().unwrap().num_rows(), 2);
            assert_eq!(order.bytes(), left * 16);
        }
        assert!(order.next(2).unwrap().is_none());
    }

    fn numbers(batches: &[RecordBatch]) -> Vec<i64> {
        batches.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
    }

    #[test]
    fn rows_leave_in_order_once_the_watermark_has_passed_them() {
        let mut order = OrderBuffer::default();
        order.push(0, batch(&[(5, 0, 1), (9, 0, 2)], true), 1);
        order.push(1, batch(&[(5, 1, 0), (3, 1, 3)], true), 1);
        assert_eq!(numbers(&leave(&mut order, EventTime(5), 1, Release::WhenItPays)), [3, 1, 0]);
        assert_eq!(order.bytes(), 1, "a batch goes with the last of its rows");
        assert_eq!(numbers(&leave(&mut order, EventTime::MAX, 1, Release::All)), [2]);
        assert_eq!(order.bytes(), 0);
    }

    /// Results of a group-by without windows carry no event time, though watermarks pass them by.
    #[test]
    fn rows_without_event_time_wait_for_the_end() {
        let mut order = OrderBuffer::default();
        order.push(0, batch(&[(0, 0, 2)], false), 1);
        assert_eq!(order.release(EventTime(i64::MAX - 1), 1, Release::WhenItPays), 0);
        order.push(1, batch(&[(0, 0, 1)], false), 1);
        assert_eq!(numbers(&leave(&mut order, EventTime::MAX, 10, Release::All)), [1, 2]);
    }

    /// Rows of one partition: (time, lateness beyond the bound, number).
    fn rows(partition: u32, rows: &[(i64, i64, u64)]) -> RecordBatch {
        let ints = |f: fn(&(i64, i64, u64)) -> i64| {
            Arc::new(Int64Array::from_iter_values(rows.iter().map(f))) as ArrayRef
        };
        RecordBatch::try_from_iter([
            ("value", ints(|r| r.0 * 10)),
            (hidden::TIME, ints(|r| r.0)),
            (hidden::LATE, ints(|r| r.1)),
            (hidden::PARTITION, Arc::new(UInt32Array::from(vec![partition; rows.len()]))),
            (hidden::ROW, Arc::new(UInt64Array::from_iter_values(rows.iter().map(|r| r.2)))),
        ])
        .unwrap()
    }

    fn values(batches: &[RecordBatch]) -> Vec<i64> {
        assert!(batches.iter().all(|b| b.num_columns() == 1), "hidden columns are gone");
        batches.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
    }

    #[test]
    fn a_late_row_takes_the_place_of_the_watermark_it_missed() {
        let mut order = OrderBuffer::default();
        // Row 2 has time 1 and came when its partition stood at 5.
        order.push(0, rows(0, &[(4, 0, 0), (5, 0, 1), (1, 4, 2), (6, 0, 3)]), 1);
        assert_eq!(values(&leave(&mut order, EventTime::MAX, 10, Release::All)), [40, 50, 10, 60]);
    }

    fn stamped(rows: &RecordBatch, schema: &SchemaRef) -> RecordBatch {
        RecordBatch::try_new(schema.clone(), rows.columns().to_vec()).unwrap()
    }

    /// The rows that a cut gives, with what its head says.
    fn cut(order: &mut OrderBuffer) -> Vec<RecordBatch> {
        let mut given = Vec::new();
        loop {
            match order.next_of_cut(3).unwrap() {
                CutPart::Rows(rows) => given.extend(rows),
                CutPart::End { head, .. } => {
                    return given.iter().map(|rows| stamped(rows, &head[0].schema())).collect();
                }
            }
        }
    }

    #[test]
    fn cuts_have_the_rows_that_wait_and_those_before_them_only_once() {
        let mut order = OrderBuffer::default();
        order.push(0, rows(0, &[(4, 0, 0), (8, 0, 1), (9, 0, 2), (1, 20, 3)]), 8);
        order.push(1, rows(1, &[(5, 0, 0), (7, 0, 1)]), 8);
        assert_eq!(values(&leave(&mut order, EventTime(5), 1, Release::Due)), [40, 50]);
        order.begin_cut(Epoch(1), None);
        // What comes and leaves behind the barrier is nothing to the cut.
        order.push(1, rows(1, &[(10, 0, 2)]), 8);
        assert_eq!(values(&leave(&mut order, EventTime(8), 1, Release::Due)), [70, 80]);
        let first = cut(&mut order);
        let restored = |cuts: &[&[RecordBatch]]| {
            let mut order = OrderBuffer::default();
            cuts.iter().copied().flatten().for_each(|rows| order.restore(rows).unwrap());
            values(&leave(&mut order, EventTime::MAX, 10, Release::All))
        };
        assert_eq!(restored(&[&first]), [70, 80, 90, 10]);

        order.begin_cut(Epoch(2), Some(Epoch(1)));
        let second = cut(&mut order);
        assert_eq!(second.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
        // Each row has what the newest head says.
        let first: Vec<RecordBatch> = first.iter().map(|rows| stamped(rows, &second[0].schema())).collect();
        assert_eq!(restored(&[&second, &first]), [90, 100, 10]);
        assert_eq!(values(&leave(&mut order, EventTime::MAX, 10, Release::All)), [90, 100, 10]);
    }

    #[test]
    fn the_result_does_not_depend_on_the_cut_or_on_who_comes_first() {
        let a: Vec<(i64, i64, u64)> = (0..40).map(|i| (i / 3, 0, i as u64)).collect();
        let b: Vec<(i64, i64, u64)> = (0..30).map(|i| (i / 2, 0, i as u64)).collect();
        let run = |cut: usize, swap: bool| {
            let mut order = OrderBuffer::default();
            let mut out = Vec::new();
            let mut parts: Vec<(usize, RecordBatch)> = Vec::new();
            for part in a.chunks(cut) {
                parts.push((0, rows(0, part)));
            }
            let at = if swap { 0 } else { parts.len() };
            for part in b.chunks(cut).rev() {
                parts.insert(at, (1, rows(1, part)));
            }
            for (input, batch) in parts {
                order.push(input, batch, 8);
            }
            for t in 0..20 {
                out.extend(leave(&mut order, EventTime(t), 4, Release::WhenItPays));
            }
            out.extend(leave(&mut order, EventTime::MAX, 4, Release::All));
            values(&out)
        };
        let wanted = run(1, false);
        assert_eq!(wanted.len(), 70);
        for cut in [2, 7, 40] {
            assert_eq!(run(cut, false), wanted);
            assert_eq!(run(cut, true), wanted);
        }
    }
}
