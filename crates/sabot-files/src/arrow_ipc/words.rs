//! One dictionary for all batches of a file.
//!
//! A file has one dictionary for each column, which may grow and never change: footers are read before
//! batches. Batches come with dictionaries of their own. So words are numbered here in the order in which
//! they appear first, and keys are numbered anew.

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int64Array, UInt64Array, new_empty_array};
use arrow::compute::{CastOptions, cast_with_options, concat, take};
use arrow::datatypes::{
    ArrowDictionaryKeyType, DataType, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use std::collections::HashMap;
use std::sync::Arc;

/// The words of one column so far.
pub(super) struct Words {
    key_type: DataType,
    converter: RowConverter,
    numbers: HashMap<Box<[u8]>, i64>,
    values: ArrayRef,
}

impl Words {
    /// For a column of this type; `None` if it is no dictionary.
    pub(super) fn new(data_type: &DataType) -> Result<Option<Self>, ArrowError> {
        let DataType::Dictionary(key, value) = data_type else { return Ok(None) };
        let converter = RowConverter::new(vec![SortField::new((**value).clone())])?;
        let values = new_empty_array(value);
        Ok(Some(Self { key_type: (**key).clone(), converter, numbers: HashMap::new(), values }))
    }

    /// The same values over the words so far, among which all of this column's are from now on.
    pub(super) fn adopt(&mut self, column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        let dictionary = column.as_any_dictionary();
        let words = dictionary.values();
        let rows = self.converter.convert_columns(std::slice::from_ref(words))?;
        let (mut numbers, mut new): (Vec<i64>, Vec<u64>) = (Vec::with_capacity(words.len()), Vec::new());
        for (i, row) in rows.iter().enumerate() {
            let next = self.numbers.len() as i64;
            let number = *self.numbers.entry(row.as_ref().into()).or_insert(next);
            if number == next {
                new.push(i as u64);
            }
            numbers.push(number);
        }
        if !new.is_empty() {
            let new = take(words, &UInt64Array::from(new), None)?;
            self.values = concat(&[&self.values, &new])?;
        }
        let keys = take(&Int64Array::from(numbers), dictionary.keys(), None)?;
        // A key type that is too small for all words of the file is an error and no null.
        let options = CastOptions { safe: false, ..CastOptions::default() };
        let keys = cast_with_options(&keys, &self.key_type, &options)?;
        match &self.key_type {
            DataType::Int8 => self.dictionary::<Int8Type>(&keys),
            DataType::Int16 => self.dictionary::<Int16Type>(&keys),
            DataType::Int32 => self.dictionary::<Int32Type>(&keys),
            DataType::Int64 => self.dictionary::<Int64Type>(&keys),
            DataType::UInt8 => self.dictionary::<UInt8Type>(&keys),
            DataType::UInt16 => self.dictionary::<UInt16Type>(&keys),
            DataType::UInt32 => self.dictionary::<UInt32Type>(&keys),
            _ => self.dictionary::<UInt64Type>(&keys),
        }
    }

    fn dictionary<K: ArrowDictionaryKeyType>(&self, keys: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        let keys = keys.as_primitive::<K>().clone();
        Ok(Arc::new(DictionaryArray::<K>::try_new(keys, self.values.clone())?))
    }
}
