//! Where rows stand among all rows, for aggregates to which it matters.
//!
//! The order is that of (event time, source partition, row number, key of a window result), which depends
//! on the input alone. In partial state a place is one value of bytes that compare like it:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | event time in µs, big end first, with the sign bit turned; that of 0 where rows have none |
//! | 4 | source partition, big end first |
//! | 8 | row number, big end first |
//! | rest | the row's `__sabot.key`, where rows carry it |
//!
//! Rows whose places are equal are copies of one row (a stream united with itself). Among these the value
//! decides: the least comes first, null last.

use arrow::array::{BinaryArray, Int64Array, RecordBatch, UInt32Array, UInt64Array};
use arrow::datatypes::Schema;
use sabot_batch::hidden;

/// The hidden columns that say where a row stands; the first and the last may be missing.
pub const ORDER_COLUMNS: [&str; 4] = [hidden::TIME, hidden::PARTITION, hidden::ROW, hidden::KEY];

/// A row's place. Orders like the bytes that it is stored as.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Event time in µs.
    pub time: i64,
    /// Source partition.
    pub partition: u32,
    /// Row number.
    pub row: u64,
    /// The key of a window result.
    pub key: Box<[u8]>,
}

impl Place {
    /// The place as bytes.
    ///
    /// ```
    /// use sabot_ops::Place;
    /// let place = Place { time: -1, partition: 2, row: 3, key: Box::from(*b"k") };
    /// let bytes = place.to_bytes();
    /// assert_eq!(bytes, [&[0x7f, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 2][..], &[0; 7], &[3], b"k"].concat());
    /// assert_eq!(Place::from_bytes(&bytes), Some(place));
    /// ```
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(20 + self.key.len());
        bytes.extend((self.time.cast_unsigned() ^ (1 << 63)).to_be_bytes());
        bytes.extend(self.partition.to_be_bytes());
        bytes.extend(self.row.to_be_bytes());
        bytes.extend_from_slice(&self.key);
        bytes
    }

    /// The place that bytes stand for; `None` for fewer than 20.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (time, rest) = bytes.split_first_chunk::<8>()?;
        let (partition, rest) = rest.split_first_chunk::<4>()?;
        let (row, key) = rest.split_first_chunk::<8>()?;
        Some(Self {
            time: (u64::from_be_bytes(*time) ^ (1 << 63)).cast_signed(),
            partition: u32::from_be_bytes(*partition),
            row: u64::from_be_bytes(*row),
            key: key.into(),
        })
    }
}

/// The places of a batch's rows, read from its hidden columns.
#[derive(Clone, Debug)]
pub struct Places<'a> {
    times: Option<&'a Int64Array>,
    partitions: &'a UInt32Array,
    rows: &'a UInt64Array,
    keys: Option<&'a BinaryArray>,
}

impl<'a> Places<'a> {
    /// The places of these rows; `None` when partition or row number are missing.
    pub fn of(batch: &'a RecordBatch) -> Option<Self> {
        Some(Self {
            times: hidden::times(batch),
            partitions: hidden::partitions(batch)?,
            rows: hidden::row_numbers(batch)?,
            keys: hidden::keys(batch),
        })
    }

    /// The place of a row.
    pub fn get(&self, row: usize) -> Place {
        Place {
            time: self.time(row),
            partition: self.partitions.value(row),
            row: self.rows.value(row),
            key: self.keys.map_or_else(Box::default, |keys| keys.value(row).into()),
        }
    }

    /// Whether row `a` stands before row `b`, behind it, or at the same place.
    pub fn compare(&self, a: usize, b: usize) -> std::cmp::Ordering {
        let fixed = |row: usize| (self.time(row), self.partitions.value(row), self.rows.value(row));
        fixed(a).cmp(&fixed(b)).then_with(|| match self.keys {
            Some(keys) => keys.value(a).cmp(keys.value(b)),
            None => std::cmp::Ordering::Equal,
        })
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.partitions.values().len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn time(&self, row: usize) -> i64 {
        self.times.map_or(0, |times| times.value(row))
    }
}

/// Whether rows of a schema say where they stand.
pub(super) fn has_places(schema: &Schema) -> bool {
    [hidden::PARTITION, hidden::ROW].into_iter().all(|name| schema.index_of(name).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_order_like_places() {
        let mut places = Vec::new();
        for time in [i64::MIN, -1, 0, 1, i64::MAX] {
            for partition in [0, 1, 256, u32::MAX] {
                for row in [0, 255, 256, u64::MAX] {
                    for key in [&b""[..], b"\0", b"a", b"ab", b"b"] {
                        places.push(Place { time, partition, row, key: key.into() });
                    }
                }
            }
        }
        assert!(places.is_sorted());
        let bytes: Vec<Vec<u8>> = places.iter().map(Place::to_bytes).collect();
        assert!(bytes.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(bytes.iter().zip(&places).all(|(b, p)| Place::from_bytes(b).as_ref() == Some(p)));
        assert_eq!(Place::from_bytes(&bytes[0][..19]), None);
    }
}
