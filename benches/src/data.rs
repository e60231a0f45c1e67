//! Seeded data that is not constant, and morsels of it.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::hint::black_box;
use std::ops::Range;
use std::sync::Arc;

/// Integers, evenly spread over a range.
pub fn ints(seed: u64, rows: usize, range: Range<i64>) -> Vec<i64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..rows).map(|_| rng.random_range(range.clone())).collect()
}

/// Floats, evenly spread from 0 to below 1000.
pub fn floats(seed: u64, rows: usize) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..rows).map(|_| rng.random_range(0.0..1000.0)).collect()
}

/// Texts of a length, of which `distinct` are different (as many as that length can tell apart).
///
/// ```
/// let texts = sabot_benches::data::texts(1, 1000, 300, 3);
/// assert!(texts.iter().all(|t| t.len() == 3));
/// ```
pub fn texts(seed: u64, rows: usize, distinct: i64, length: usize) -> Vec<String> {
    ints(seed, rows, 0..distinct).into_iter().map(|number| word(number, length)).collect()
}

/// A number in letters, the last digit first, so that texts differ at their front.
fn word(mut number: i64, length: usize) -> String {
    let mut letter = || {
        let digit = u8::try_from(number % 26).unwrap_or(0);
        number /= 26;
        char::from(b'A' + digit)
    };
    (0..length).map(|_| letter()).collect()
}

/// A batch of columns without nulls.
///
/// # Panics
/// When columns differ in length or have nulls.
pub fn batch(columns: impl IntoIterator<Item = (&'static str, ArrayRef)>) -> RecordBatch {
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns
        .into_iter()
        .map(|(name, array)| (Field::new(name, array.data_type().clone(), false), array))
        .unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("columns of one length without nulls")
}

/// A batch cut into morsels of at most `rows` rows. They share its memory.
pub fn morsels(batch: &RecordBatch, rows: usize) -> Vec<RecordBatch> {
    let length = |start: usize| rows.min(batch.num_rows() - start);
    (0..batch.num_rows()).step_by(rows.max(1)).map(|start| batch.slice(start, length(start))).collect()
}

/// The bytes that the rows of batches take.
pub fn bytes(batches: &[RecordBatch]) -> u64 {
    batches.iter().map(|batch| sabot_batch::Morsel::new(batch.clone()).bytes() as u64).sum()
}

/// Copies so many bytes each time it is called: what memory allows at best, one thread.
pub fn copier(bytes: u64) -> impl FnMut() {
    let length = usize::try_from(bytes).unwrap_or(usize::MAX);
    // Not zeros: those pages might all be one.
    let from: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
    let mut to = from.clone();
    move || {
        to.copy_from_slice(black_box(&from));
        black_box(&mut to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_same_seed_gives_the_same_data_and_another_one_other_data() {
        assert_eq!(ints(7, 100, 0..1000), ints(7, 100, 0..1000));
        assert_ne!(ints(7, 100, 0..1000), ints(8, 100, 0..1000));
        assert_ne!(floats(7, 100), floats(8, 100));
    }

    #[test]
    fn texts_are_as_different_as_they_were_asked_for() {
        let texts = texts(1, 10_000, 300, 3);
        assert_eq!(texts.iter().collect::<BTreeSet<_>>().len(), 300);
    }

    #[test]
    fn morsels_are_the_batch_and_cost_what_it_costs() {
        let whole = batch([("a", Arc::new(arrow::array::Int64Array::from(ints(1, 100, 0..9))) as ArrayRef)]);
        let pieces = morsels(&whole, 7);
        assert_eq!(pieces.len(), 15);
        assert_eq!(arrow::compute::concat_batches(&whole.schema(), &pieces).unwrap(), whole);
        assert_eq!((bytes(&pieces), bytes(std::slice::from_ref(&whole))), (800, 800));
    }
}
