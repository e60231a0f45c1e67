//! Histories as rows, and back. What else there is follows from the rows.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt64Type};
use std::sync::Arc;

use super::{Rolling, flag_place};
use crate::group_by::AccumulateError;
use crate::over::bad;

impl Rolling {
    /// The columns of a snapshot: the key, the row's number and time, the values and flags that are kept.
    pub fn snapshot_schema(&self) -> SchemaRef {
        let key = |(i, column): (usize, &usize)| {
            let data_type = self.index.types()[i].clone();
            Field::new(self.rows.field(*column).name(), data_type, true)
        };
        let mut fields: Vec<Field> = self.partition.iter().enumerate().map(key).collect();
        fields.push(Field::new("row", DataType::UInt64, false));
        fields.push(Field::new("time", DataType::Int64, false));
        for (i, input) in self.layout.inputs.iter().enumerate() {
            fields.push(Field::new(format!("value{i}"), input.data_type.clone(), true));
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

    /// All rows that can be reached, key by key and in their order.
    ///
    /// # Errors
    /// [`AccumulateError`] when they are too many for one batch.
    pub fn snapshot(&self) -> Result<RecordBatch, AccumulateError> {
        let (mut slots, mut numbers, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for (slot, history) in (0u32..).zip(&self.histories) {
            for row in history.from()..history.rows() {
                slots.push(slot);
                numbers.push(history.base() + row as u64);
                times.push(history.word(0, row) as i64);
            }
        }
        let mut columns = self.index.take(&slots)?;
        columns.push(Arc::new(UInt64Array::from(numbers)));
        columns.push(Arc::new(Int64Array::from(times)));
        let all = || {
            self.histories
                .iter()
                .flat_map(|history| (history.from()..history.rows()).map(move |row| (history, row)))
        };
        for (input, interned) in self.layout.inputs.iter().zip(&self.interned) {
            let lanes = input.lane..input.lane + input.form.width();
            let words =
                all().flat_map(|(history, row)| lanes.clone().map(move |lane| history.word(lane, row)));
            let words: Vec<u64> = words.collect();
            let nulls = input.valid.map(|flag| {
                let (lane, shift) = flag_place(&self.layout, flag);
                NullBuffer::from_iter(all().map(|(history, row)| history.word(lane, row) >> shift & 1 == 1))
            });
            columns.push(input.form.decode(&input.data_type, &words, nulls, interned.as_ref())?);
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
