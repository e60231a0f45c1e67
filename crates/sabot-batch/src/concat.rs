//! Several morsels as one.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use std::sync::Arc;

use crate::{Morsel, MorselError, RowKind, RowKinds, RowOrigin, Selection, TimeBounds};

impl Morsel {
    /// The rows of all parts in their order, on the host. It has time bounds where all parts have, and an origin where the rows
    /// of all parts are one run of a source. Without parts there is no schema, and so no morsel; nor is there one where the keys of
    /// a dictionary might not number the values of all parts together.
    ///
    /// ```
    /// # use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    /// # use sabot_batch::{Morsel, Selection};
    /// # use std::sync::Arc;
    /// let of = |values| Ok::<_, arrow::error::ArrowError>(Morsel::new(RecordBatch::try_from_iter([(
    ///     "n",
    ///     Arc::new(Int64Array::from_iter_values(values)) as ArrayRef,
    /// )])?));
    /// let odd = of(0..3)?.with_selection(Selection::from_words(vec![0b010], 3))?;
    /// let both = Morsel::concat(&[odd, of(7..9)?])?.unwrap();
    /// assert_eq!((both.rows(), both.live_rows()), (5, 3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`MorselError`] when a device copy fails, or Arrow cannot join the columns.
    pub fn concat(parts: &[Morsel]) -> Result<Option<Morsel>, MorselError> {
        let [first, rest @ ..] = parts else { return Ok(None) };
        if rest.is_empty() {
            return Ok(Some(first.clone()));
        }
        let batches = parts.iter().map(Morsel::to_host).collect::<Result<Vec<_>, _>>()?;
        let schema = first.schema();
        // Arrow's kernel takes it for granted that they do.
        if !(0..schema.fields().len()).all(|column| keys_suffice(&batches, column)) {
            return Ok(None);
        }
        let batch = concat_batches(&schema, &batches)?;
        let rows = batch.num_rows();
        let mut joined = Morsel::new(batch).with_time_bounds(bounds(parts)).with_origin(origin(parts));
        if parts.iter().any(|part| matches!(part.kinds(), RowKinds::PerRow(_))) {
            let kinds = parts.iter().flat_map(|part| {
                (0..part.rows()).map(|row| part.kinds().get(row).unwrap_or(RowKind::Insert))
            });
            joined = joined.with_kinds(RowKinds::PerRow(kinds.collect()))?;
        }
        if parts.iter().any(|part| part.selection().is_some()) {
            joined = joined.with_selection(selection(parts, rows))?;
        }
        Ok(Some(joined))
    }

    /// Whether the rows of `next` are those that follow in the same source; also where neither says where it is from.
    pub fn is_followed_by(&self, next: &Morsel) -> bool {
        match (self.origin(), next.origin()) {
            (Some(own), Some(next)) => {
                own.partition == next.partition && own.first_row + self.rows() as u64 == next.first_row
            }
            (own, next) => own.is_none() && next.is_none(),
        }
    }
}

/// Whether a column of all parts may become one: its dictionaries have few enough values for their keys, even if none of them is
/// in two. Of dictionaries inside of other columns nobody knows.
fn keys_suffice(batches: &[RecordBatch], column: usize) -> bool {
    let nested =
        |data_type: &DataType| data_type.is_nested() && format!("{data_type}").contains("Dictionary");
    let columns = batches.iter().map(|batch| batch.column(column));
    let DataType::Dictionary(key, _) = batches[0].column(column).data_type() else {
        return !nested(batches[0].column(column).data_type());
    };
    // The last key that a type has is as good as any.
    let keys = match **key {
        DataType::Int8 => 1 << 7,
        DataType::UInt8 => 1 << 8,
        DataType::Int16 => 1 << 15,
        DataType::UInt16 => 1 << 16,
        _ => 1 << 31,
    };
    let mut known: Vec<&ArrayRef> = Vec::new();
    for values in columns.filter_map(|column| column.as_any_dictionary_opt()).map(|array| array.values()) {
        if !known.iter().any(|known| Arc::ptr_eq(known, values)) {
            known.push(values);
        }
    }
    known.iter().map(|values| values.len()).sum::<usize>() <= keys
}

fn bounds(parts: &[Morsel]) -> Option<TimeBounds> {
    let all = parts.iter().map(Morsel::time_bounds).collect::<Option<Vec<_>>>()?;
    let (min, max) = (all.iter().map(|b| b.min).min()?, all.iter().map(|b| b.max).max()?);
    Some(TimeBounds { min, max })
}

fn origin(parts: &[Morsel]) -> Option<RowOrigin> {
    let is_one_run = parts.windows(2).all(|pair| pair[0].is_followed_by(&pair[1]));
    parts.first()?.origin().filter(|_| is_one_run).cloned()
}

fn selection(parts: &[Morsel], rows: usize) -> Selection {
    let mut words = vec![0u64; rows.div_ceil(64) + 1];
    let mut at = 0;
    for part in parts {
        let count = part.rows();
        let own = match part.selection() {
            Some(selection) => selection.clone(),
            None => Selection::from_words(vec![u64::MAX; count.div_ceil(64)], count),
        };
        for (number, word) in own.words().iter().enumerate() {
            let (word_at, bit) = ((at + number * 64) / 64, (at + number * 64) % 64);
            words[word_at] |= word << bit;
            if bit > 0 {
                words[word_at + 1] |= word >> (64 - bit);
            }
        }
        at += count;
    }
    Selection::from_words(words, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{DictionaryArray, FixedSizeBinaryArray, Int8Array, Int64Array};
    use arrow::datatypes::Int64Type;
    use sabot_common::EventTime;

    fn part(from: i64, rows: i64) -> Morsel {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + rows));
        let origin = RowOrigin { partition: "f".into(), first_row: from as u64 };
        let bounds = TimeBounds { min: EventTime(from), max: EventTime(from + rows) };
        Morsel::new(RecordBatch::try_from_iter([("n", column)]).unwrap())
            .with_origin(Some(origin))
            .with_time_bounds(Some(bounds))
    }

    #[test]
    fn what_is_known_of_the_rows_is_kept() {
        for sizes in [[1, 1, 1], [63, 1, 64], [64, 64, 1], [100, 3, 130]] {
            let mut at = 0;
            let mut parts = Vec::new();
            for (number, rows) in sizes.into_iter().enumerate() {
                let mut morsel = part(at, rows);
                if number != 1 {
                    let words = (0..4).map(|n| 0x5555_1234_9999_0001_u64.rotate_left(n * 7)).collect();
                    morsel = morsel.with_selection(Selection::from_words(words, rows as usize)).unwrap();
                }
                if number == 2 {
                    let kinds = RowKinds::PerRow(vec![RowKind::Delete; rows as usize].into());
                    morsel = morsel.with_kinds(kinds).unwrap();
                }
                at += rows;
                parts.push(morsel);
            }
            let joined = Morsel::concat(&parts).unwrap().unwrap();
            assert_eq!(joined.rows() as i64, at);
            assert_eq!(joined.origin().unwrap().first_row, 0);
            assert_eq!(joined.time_bounds().unwrap().max, EventTime(at));
            let mut row = 0;
            for part in &parts {
                for own in 0..part.rows() {
                    let alive = |morsel: &Morsel, row| morsel.selection().is_none_or(|s| s.contains(row));
                    assert_eq!(alive(&joined, row), alive(part, own), "{sizes:?}, row {row}");
                    assert_eq!(joined.kinds().get(row), part.kinds().get(own));
                    row += 1;
                }
            }
            let values = joined.host().unwrap().column(0).as_primitive::<Int64Type>().values().to_vec();
            assert_eq!(values, (0..at).collect::<Vec<_>>());
        }
    }

    /// Five times thirty values are more than a byte numbers.
    #[test]
    fn dictionaries_are_joined_as_far_as_their_keys_go() {
        let values = |from: i64| -> ArrayRef {
            let texts = (from..from + 30).map(|n| n.to_le_bytes());
            Arc::new(FixedSizeBinaryArray::try_from_iter(texts).unwrap())
        };
        let part = |values: ArrayRef| {
            let keys = Int8Array::from_iter_values(0..30);
            let column: ArrayRef = Arc::new(DictionaryArray::new(keys, values));
            Morsel::new(RecordBatch::try_from_iter([("d", column)]).unwrap())
        };
        let different: Vec<Morsel> = (0..5).map(|n| part(values(n * 30))).collect();
        assert!(Morsel::concat(&different).unwrap().is_none());
        assert_eq!(Morsel::concat(&different[..4]).unwrap().unwrap().rows(), 120);
        let one = values(0);
        let same: Vec<Morsel> = (0..5).map(|_| part(one.clone())).collect();
        assert_eq!(Morsel::concat(&same).unwrap().unwrap().rows(), 150);
    }

    #[test]
    fn rows_that_do_not_follow_have_no_place() {
        let (a, b) = (part(0, 5), part(6, 5));
        assert!(!a.is_followed_by(&b) && a.is_followed_by(&part(5, 1)));
        assert!(Morsel::concat(&[a, b]).unwrap().unwrap().origin().is_none());
        assert!(Morsel::concat(&[]).unwrap().is_none());
    }
}
