//! Several morsels as one.

use arrow::compute::concat_batches;

use crate::{Morsel, MorselError, RowKind, RowKinds, RowOrigin, Selection, TimeBounds};

impl Morsel {
    /// The rows of all parts in their order, on the host. It has time bounds where all parts have, and an origin where the rows
    /// of all parts are one run of a source. Without parts there is no schema, and so no morsel.
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
    /// [`MorselError`] when a device copy fails, or Arrow cannot join the columns: dictionaries may have too many values together.
    pub fn concat(parts: &[Morsel]) -> Result<Option<Morsel>, MorselError> {
        let [first, rest @ ..] = parts else { return Ok(None) };
        if rest.is_empty() {
            return Ok(Some(first.clone()));
        }
        let batches = parts.iter().map(Morsel::to_host).collect::<Result<Vec<_>, _>>()?;
        let batch = concat_batches(&first.schema(), &batches)?;
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
    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::Int64Type;
    use arrow::record_batch::RecordBatch;
    use sabot_common::EventTime;
    use std::sync::Arc;

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

    #[test]
    fn rows_that_do_not_follow_have_no_place() {
        let (a, b) = (part(0, 5), part(6, 5));
        assert!(!a.is_followed_by(&b) && a.is_followed_by(&part(5, 1)));
        assert!(Morsel::concat(&[a, b]).unwrap().unwrap().origin().is_none());
        assert!(Morsel::concat(&[]).unwrap().is_none());
    }
}
