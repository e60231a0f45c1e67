//! Histories as rows, and back. What else there is follows from the rows.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt64Array};
use arrow::buffer::NullBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt64Type};
use sabot_batch::key_index::canonical_type;
use std::ops::Range;
use std::sync::Arc;

use super::{Rolling, flag_place};
use crate::group_by::AccumulateError;
use crate::over::bad;

/// Rows of a snapshot's batch, and those of one more key: strings of 32 KiB each are still fewer than 2 GiB.
const SNAPSHOT_ROWS: usize = 65_536;

impl Rolling {
    /// The columns of a snapshot: the key, the row's number, whether it is the first of all rows of the key, its time, the values and flags that are kept, all
    /// of them plain: what fits the codes of a dictionary in one batch need not fit it over time.
    pub fn snapshot_schema(&self) -> SchemaRef {
        let key = |(i, column): (usize, &usize)| {
            let data_type = self.index.types()[i].clone();
            Field::new(self.rows.field(*column).name(), data_type, true)
        };
        let mut fields: Vec<Field> = self.partition.iter().enumerate().map(key).collect();
        fields.push(Field::new("row", DataType::UInt64, false));
        fields.push(Field::new("first", DataType::Boolean, false));
        fields.push(Field::new("time", DataType::Int64, false));
        for (i, input) in self.layout.inputs.iter().enumerate() {
            fields.push(Field::new(format!("value{i}"), canonical_type(&input.data_type), true));
        }
        for i in 0..self.layout.flags.len() {
            fields.push(Field::new(format!("flag{i}"), DataType::Boolean, false));
        }
        Arc::new(Schema::new(fields))
    }

    /// The columns of a snapshot that are the key.
    pub fn snapshot_keys(&self) -> Vec<usize> {
        (0..self.partition.len()).collect()
    }

    /// All rows that can be reached, key by key and in their order, in batches that no key is cut by.
    ///
    /// # Errors
    /// [`AccumulateError`] when the rows of one key are too many for a batch.
    pub fn snapshot(&self) -> Result<Vec<RecordBatch>, AccumulateError> {
        let (mut batches, mut pieces, mut rows) = (Vec::new(), Vec::new(), 0);
        for key in 0..self.keys() {
            let numbers = self.rows_of(key);
            rows += (numbers.end - numbers.start) as usize;
            pieces.push(Piece { key, numbers, is_whole: true });
            if rows >= SNAPSHOT_ROWS || (key + 1 == self.keys() && rows > 0) {
                batches.push(self.write(&pieces)?);
                (pieces, rows) = (Vec::new(), 0);
            }
        }
        Ok(batches)
    }

    /// How many keys there are; each is known by a number below it.
    pub fn keys(&self) -> u32 {
        self.histories.len() as u32
    }

    /// The numbers of the rows of a key that can be reached.
    pub fn rows_of(&self, key: u32) -> Range<u64> {
        let history = &self.histories[key as usize];
        history.base() + history.from() as u64..history.base() + history.rows() as u64
    }

    /// The time of the row of a key with this number; `None` where it is gone, or has not come yet. When a key begins anew
    /// its numbers do too, and its times go on.
    pub fn time_of(&self, key: u32, number: u64) -> Option<i64> {
        let history = &self.histories[key as usize];
        let is_there = (history.base()..history.base() + history.rows() as u64).contains(&number);
        is_there.then(|| history.word(0, history.place(number)) as i64)
    }

    /// Rows that are there, as [`Rolling::restore`] takes them in.
    ///
    /// # Errors
    /// As [`Rolling::snapshot`].
    pub fn write(&self, pieces: &[Piece]) -> Result<RecordBatch, AccumulateError> {
        let all = || {
            pieces.iter().flat_map(|piece| {
                let history = &self.histories[piece.key as usize];
                (history.place(piece.numbers.start)..history.place(piece.numbers.end))
                    .map(move |row| (history, row))
            })
        };
        let slots = pieces.iter().flat_map(|piece| piece.numbers.clone().map(|_| piece.key));
        let slots: Vec<u32> = slots.collect();
        let mut columns = self.index.take(&slots)?;
        let numbers = all().map(|(history, row)| history.base() + row as u64);
        columns.push(Arc::new(UInt64Array::from_iter_values(numbers)));
        let first = pieces.iter().flat_map(|piece| {
            piece.numbers.clone().map(|number| Some(piece.is_whole && number == piece.numbers.start))
        });
        columns.push(Arc::new(first.collect::<BooleanArray>()));
        let times = all().map(|(history, row)| history.word(0, row) as i64);
        columns.push(Arc::new(Int64Array::from_iter_values(times)));
        for (input, interned) in self.layout.inputs.iter().zip(&self.interned) {
            let lanes = input.lane..input.lane + input.form.width();
            let words: Vec<u64> = all()
                .flat_map(|(history, row)| lanes.clone().map(move |lane| history.word(lane, row)))
                .collect();
            let nulls = input.valid.map(|flag| {
                let (lane, shift) = flag_place(&self.layout, flag);
                NullBuffer::from_iter(all().map(|(history, row)| history.word(lane, row) >> shift & 1 == 1))
            });
            let plain = canonical_type(&input.data_type);
            columns.push(input.form.decode(&plain, &words, nulls, interned.as_ref())?);
        }
        for flag in 0..self.layout.flags.len() {
            let (lane, shift) = flag_place(&self.layout, flag);
            let bits = all().map(|(history, row)| Some(history.word(lane, row) >> shift & 1 == 1));
            columns.push(Arc::new(bits.collect::<BooleanArray>()));
        }
        RecordBatch::try_new(self.snapshot_schema(), columns).map_err(bad)
    }

    /// Takes in rows that were written one time after the other, the newest first: of a key those from its last whole on.
    ///
    /// # Errors
    /// As [`Rolling::restore`].
    pub fn restore_newest(&mut self, newest_first: &[RecordBatch]) -> Result<(), AccumulateError> {
        let mut rest = Vec::with_capacity(newest_first.len());
        let mut is_whole: Vec<bool> = Vec::new();
        for rows in newest_first {
            let keys = self.partition.len();
            let first = rows.columns().get(keys + 1).and_then(|first| first.as_boolean_opt());
            let first = first.ok_or_else(|| bad("a snapshot of other values over rows around"))?.values();
            let ids = self.find_keys(&rows.columns()[..keys], rows.num_rows())?;
            is_whole.resize(self.histories.len(), false);
            let needed: BooleanArray = ids.iter().map(|id| Some(!is_whole[*id as usize])).collect();
            ids.iter().zip(first).for_each(|(id, first)| is_whole[*id as usize] |= first);
            rest.push(match needed.true_count() == rows.num_rows() {
                true => rows.clone(),
                false => filter_record_batch(rows, &needed).map_err(bad)?,
            });
        }
        rest.iter().rev().try_for_each(|rows| self.restore(rows))
    }

    /// Takes in rows of snapshots: of a key all rows, which take the place of those that it has, or those behind them.
    ///
    /// # Errors
    /// [`AccumulateError`] for rows that are no snapshot of this spec, or lack rows before them.
    pub fn restore(&mut self, rows: &RecordBatch) -> Result<(), AccumulateError> {
        let schema = self.snapshot_schema();
        let same = |(a, b): (&Arc<Field>, &Arc<Field>)| a.data_type() == b.data_type();
        let (ours, theirs) = (schema.fields(), rows.schema_ref().fields());
        if ours.len() != theirs.len() || !ours.iter().zip(theirs).all(same) {
            return Err(bad("a snapshot of other values over rows around"));
        }
        let keys = self.partition.len();
        let ids = self.find_keys(&rows.columns()[..keys], rows.num_rows())?;
        let numbers = rows.column(keys).as_primitive::<UInt64Type>().values();
        let first = rows.column(keys + 1).as_boolean().values().clone();
        let times = rows.column(keys + 2).as_primitive::<Int64Type>().values().to_vec();
        let rest = &rows.columns()[keys + 3..];
        let (inputs, flags) = rest.split_at(self.layout.inputs.len());
        let mut values = Vec::with_capacity(inputs.len());
        for (i, array) in inputs.iter().enumerate() {
            let form = self.layout.inputs[i].form;
            let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
            values.push(form.encode(array, nulls.as_ref(), self.interned[i].as_mut())?);
        }
        let bits = |flag: &ArrayRef| Some(flag.as_boolean().values().clone());
        let flags: Vec<_> = flags.iter().map(bits).collect();
        let batch = self.restored(ids, times, values, &flags);
        let mut row = vec![0; self.shape.lanes];
        for (i, number) in numbers.iter().enumerate() {
            let slot = batch.ids[i] as usize;
            if first.value(i) {
                self.drop_rows(slot, self.histories[slot].rows());
                self.restart(slot, *number);
            }
            let history = &self.histories[slot];
            if history.base() + history.rows() as u64 != *number {
                return Err(bad(format!("a snapshot lacks rows before row {number} of a key")));
            }
            batch.row(&self.layout, i, &mut row);
            self.push(slot, &mut row);
        }
        self.let_go();
        Ok(())
    }
}

/// Rows of a key, by their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The key.
    pub key: u32,
    /// Its rows.
    pub numbers: Range<u64>,
    /// These are all that can be reached, and not those behind others.
    pub is_whole: bool,
}
