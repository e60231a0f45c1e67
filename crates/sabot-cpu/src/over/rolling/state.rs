//! Histories as rows, and back. What else there is follows from the rows.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt64Type};
use sabot_batch::key_index::canonical_type;
use std::ops::Range;
use std::sync::Arc;

use super::history::History;
use super::{Rolling, flag_place};
use crate::group_by::AccumulateError;
use crate::over::bad;

/// Rows of a snapshot's batch, and those of one more key: strings of 32 KiB each are still fewer than 2 GiB.
const SNAPSHOT_ROWS: usize = 65_536;

impl Rolling {
    /// The columns of a snapshot: the key, the row's number and time, the values and flags that are kept, all
    /// of them plain: what fits the codes of a dictionary in one batch need not fit it over time.
    pub fn snapshot_schema(&self) -> SchemaRef {
        let key = |(i, column): (usize, &usize)| {
            let data_type = self.index.types()[i].clone();
            Field::new(self.rows.field(*column).name(), data_type, true)
        };
        let mut fields: Vec<Field> = self.partition.iter().enumerate().map(key).collect();
        fields.push(Field::new("row", DataType::UInt64, false));
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
        let mut batches = Vec::new();
        let (mut start, mut rows) = (0, 0);
        for (slot, history) in self.histories.iter().enumerate() {
            rows += history.rows() - history.from();
            if rows >= SNAPSHOT_ROWS || (slot + 1 == self.histories.len() && rows > 0) {
                batches.push(self.snapshot_keys_in(start..slot + 1)?);
                (start, rows) = (slot + 1, 0);
            }
        }
        Ok(batches)
    }

    fn snapshot_keys_in(&self, keys: Range<usize>) -> Result<RecordBatch, AccumulateError> {
        let histories = &self.histories[keys.clone()];
        let all = || {
            histories
                .iter()
                .flat_map(|history| (history.from()..history.rows()).map(move |row| (history, row)))
        };
        let repeated = |(slot, history): (usize, &History)| {
            std::iter::repeat_n(slot as u32, history.rows() - history.from())
        };
        let slots: Vec<u32> = keys.zip(histories).flat_map(repeated).collect();
        let mut columns = self.index.take(&slots)?;
        let numbers = all().map(|(history, row)| history.base() + row as u64);
        columns.push(Arc::new(UInt64Array::from_iter_values(numbers)));
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

    /// Takes in rows of snapshots, of keys that have none yet.
    ///
    /// # Errors
    /// [`AccumulateError`] for rows that are no snapshot of this spec, or of a key that is known already.
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
        let times = rows.column(keys + 1).as_primitive::<Int64Type>().values().to_vec();
        let rest = &rows.columns()[keys + 2..];
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
            let history = &mut self.histories[slot];
            match history.rows() {
                0 => history.restart(*number),
                rows if history.base() + rows as u64 == *number => {}
                _ => return Err(bad("a snapshot with rows missing, or of a key that is known already")),
            }
            batch.row(&self.layout, i, &mut row);
            self.push(slot, &mut row);
        }
        Ok(())
    }
}
