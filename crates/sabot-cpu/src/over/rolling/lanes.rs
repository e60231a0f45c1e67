//! Columns as lanes: one 64-bit word a row, or two, so that a history is one array of words.
//!
//! A word type is a lane of ordered words (see [`words`]) or of bits; decimals of 128 bits are two lanes; all
//! else is interned, once for each different value, and the lane holds the value's id.

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float32Array, Float64Array};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, i256};
use arrow::row::{RowConverter, SortField};
use sabot_batch::key_index::{canonical, canonical_type, words};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use super::super::bad;
use crate::group_by::AccumulateError;
use crate::rank::one_zero_one_nan;

/// What a lane is kept for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Values that are given back as they came.
    Value,
    /// Values that are compared with each other.
    Compare,
    /// Values that are the same or not.
    Equal,
    /// Numbers that are added up.
    Number,
    /// Numbers that are added up as doubles.
    Double,
}

/// How the values of a lane are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Words in the order of the values.
    Ordered,
    /// The bits of singles.
    Single,
    /// The bits of doubles.
    Double,
    /// 128 bits, the low ones first.
    Wide,
    /// Ids of interned values; the values in the form of keys (`true`) or as they are.
    Interned(bool),
}

impl Form {
    /// The form for values of this type. Floats have two, because the order makes one of both zeros.
    pub(super) fn of(data_type: &DataType, used: Use) -> Form {
        let float = matches!(data_type, DataType::Float16 | DataType::Float32 | DataType::Float64);
        match used {
            Use::Double => Form::Double,
            Use::Number if float => Form::Double,
            Use::Value if data_type == &DataType::Float64 => Form::Double,
            Use::Value if float => Form::Single,
            _ if words::is_word_type(data_type) => Form::Ordered,
            Use::Equal => Form::Interned(true),
            _ if matches!(data_type, DataType::Decimal128(..)) => Form::Wide,
            Use::Value => Form::Interned(false),
            // One zero and one NaN, in their order.
            _ => Form::Interned(true),
        }
    }

    /// Lanes that it takes.
    pub(super) fn width(self) -> usize {
        if self == Form::Wide { 2 } else { 1 }
    }

    /// The words of a column, `width` a row, 0 where `nulls` says so.
    pub(super) fn encode(
        self,
        array: &ArrayRef,
        nulls: Option<&NullBuffer>,
        interned: Option<&mut Interned>,
    ) -> Result<Vec<u64>, AccumulateError> {
        let unfit = || bad(format!("{} as {self:?}", array.data_type()));
        let mut encoded: Vec<u64> = match self {
            Form::Ordered => {
                words::encode(array).ok_or_else(unfit)?.values.iter().map(|w| *w as u64).collect()
            }
            Form::Double => {
                let doubles = cast(array, &DataType::Float64).map_err(bad)?;
                doubles.as_primitive::<Float64Type>().values().iter().map(|x| x.to_bits()).collect()
            }
            Form::Single => {
                let floats = cast(array, &DataType::Float32).map_err(bad)?;
                floats.as_primitive::<Float32Type>().values().iter().map(|x| u64::from(x.to_bits())).collect()
            }
            Form::Wide => {
                let wide = array.as_primitive_opt::<Decimal128Type>().ok_or_else(unfit)?.values();
                wide.iter().flat_map(|x| [*x as u64, (*x >> 64) as u64]).collect()
            }
            Form::Interned(_) => interned.ok_or_else(unfit)?.encode(array, nulls)?,
        };
        if let Some(nulls) = nulls {
            let width = self.width();
            for row in (0..array.len()).filter(|row| nulls.is_null(*row)) {
                encoded[row * width..(row + 1) * width].fill(0);
            }
        }
        Ok(encoded)
    }

    /// A column of this type from its words.
    pub(super) fn decode(
        self,
        data_type: &DataType,
        words: &[u64],
        nulls: Option<NullBuffer>,
        interned: Option<&Interned>,
    ) -> Result<ArrayRef, AccumulateError> {
        let unfit = || bad(format!("{data_type} from {self:?}"));
        let column: ArrayRef = match self {
            Form::Ordered => {
                let words = words.iter().map(|w| *w as i64).collect();
                words::decode(data_type, words, nulls).ok_or_else(unfit)?
            }
            Form::Double => {
                let doubles: Vec<f64> = words.iter().map(|w| f64::from_bits(*w)).collect();
                Arc::new(Float64Array::new(doubles.into(), nulls))
            }
            Form::Single => {
                let floats: Vec<f32> = words.iter().map(|w| f32::from_bits(*w as u32)).collect();
                Arc::new(Float32Array::new(floats.into(), nulls))
            }
            Form::Wide => {
                let wide: Vec<i128> = words.chunks_exact(2).map(|w| wide(w[0], w[1])).collect();
                Arc::new(Decimal128Array::new(wide.into(), nulls).with_data_type(data_type.clone()))
            }
            Form::Interned(_) => interned.ok_or_else(unfit)?.decode(words, nulls.as_ref())?,
        };
        as_type(&column, data_type)
    }
}

/// A number of 128 bits from its lanes.
pub(super) fn wide(low: u64, high: u64) -> i128 {
    (i128::from(high as i64) << 64) | i128::from(low)
}

/// A number of 256 bits from words, the low ones first; and back.
pub(super) fn very_wide(words: &[u64]) -> i256 {
    let low = u128::from(words[0]) | u128::from(words[1]) << 64;
    i256::from_parts(low, wide(words[2], words[3]))
}

pub(super) fn very_wide_words(value: i256) -> [u64; 4] {
    let (low, high) = value.to_parts();
    [low as u64, (low >> 64) as u64, high as u64, (high >> 64) as u64]
}

/// Different values with ids, as long as a row holds them. A value is its bytes in Arrow's row format, whose
/// order is that of the values.
pub(super) struct Interned {
    /// The type without encodings, in which values are kept.
    plain: DataType,
    as_keys: bool,
    converter: RowConverter,
    ids: HashMap<Arc<[u8]>, u32>,
    /// Value and number of holders by id. The null keeps id 0.
    values: Vec<(Arc<[u8]>, u64)>,
    /// Ids that nobody holds.
    free: Vec<u32>,
    bytes: usize,
}

impl std::fmt::Debug for Interned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} interned values of {}", self.ids.len(), self.plain)
    }
}

/// Bytes a value takes beside its own: the counts of the shared bytes, two references, the id, the number of
/// holders, the table's slot.
const VALUE_BYTES: usize = 80;

impl Interned {
    pub(super) fn new(data_type: &DataType, as_keys: bool) -> Result<Self, AccumulateError> {
        let plain = canonical_type(data_type);
        let converter = RowConverter::new(vec![SortField::new(plain.clone())]).map_err(bad)?;
        let null = arrow::array::new_null_array(&plain, 1);
        let null = converter.convert_columns(&[null]).map_err(bad)?.row(0).as_ref().into();
        let (ids, free) = (HashMap::new(), Vec::new());
        Ok(Self { plain, as_keys, converter, ids, values: vec![(null, 1)], free, bytes: 0 })
    }

    /// The ids of values. Every row but a null becomes a holder of its value.
    fn encode(&mut self, array: &ArrayRef, nulls: Option<&NullBuffer>) -> Result<Vec<u64>, AccumulateError> {
        let plain = match self.as_keys {
            true => one_zero_one_nan(&canonical(array).map_err(bad)?).map_err(bad)?,
            false => as_type(array, &self.plain)?,
        };
        let rows = self.converter.convert_columns(&[plain]).map_err(bad)?;
        let mut ids = Vec::with_capacity(array.len());
        for (i, row) in rows.iter().enumerate() {
            if nulls.is_some_and(|nulls| nulls.is_null(i)) {
                ids.push(0);
                continue;
            }
            let id = match self.ids.get(row.as_ref()) {
                Some(id) => *id,
                None => self.insert(row.as_ref().into())?,
            };
            self.values[id as usize].1 += 1;
            ids.push(u64::from(id));
        }
        Ok(ids)
    }

    fn insert(&mut self, value: Arc<[u8]>) -> Result<u32, AccumulateError> {
        self.bytes += value.len() + VALUE_BYTES;
        let id = match self.free.pop() {
            Some(id) => id,
            None => {
                self.values.push((value.clone(), 0));
                u32::try_from(self.values.len() - 1).map_err(bad)?
            }
        };
        self.values[id as usize] = (value.clone(), 0);
        self.ids.insert(value, id);
        Ok(id)
    }

    /// A row lets go of its value.
    pub(super) fn release(&mut self, word: u64) {
        let (value, holders) = &mut self.values[word as usize];
        *holders -= 1;
        if *holders == 0 {
            self.bytes = self.bytes.saturating_sub(value.len() + VALUE_BYTES);
            self.ids.remove(value);
            self.free.push(word as u32);
        }
    }

    pub(super) fn compare(&self, a: u64, b: u64) -> Ordering {
        self.values[a as usize].0.cmp(&self.values[b as usize].0)
    }

    fn decode(&self, words: &[u64], nulls: Option<&NullBuffer>) -> Result<ArrayRef, AccumulateError> {
        let valid = |i: usize| nulls.is_none_or(|nulls| nulls.is_valid(i));
        let parser = self.converter.parser();
        let rows = words
            .iter()
            .enumerate()
            .map(|(i, word)| parser.parse(&self.values[if valid(i) { *word as usize } else { 0 }].0));
        let columns = self.converter.convert_rows(rows).map_err(bad)?;
        columns.into_iter().next().ok_or_else(|| bad("no column of values"))
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The column as one of this type, which has other encodings at most.
fn as_type(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, AccumulateError> {
    if array.data_type() == data_type { Ok(array.clone()) } else { cast(array, data_type).map_err(bad) }
}
