//! Random schemas and batches.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use rand::Rng;
use rand::seq::IndexedRandom;
use std::sync::Arc;

use crate::array::{Spread, random_array, types};

/// The sizes at which kernels go wrong: nothing, one, and around the bits of a word and of a block.
pub const SIZES: [usize; 12] = [0, 1, 2, 31, 32, 33, 63, 64, 65, 130, 1023, 1025];

/// A schema of 1 to 10 columns of random types, named `c0`, `c1` and so on; two in three are nullable.
pub fn random_schema(rng: &mut impl Rng) -> SchemaRef {
    let all = types();
    let columns = rng.random_range(1..=10);
    let mut fields = Vec::with_capacity(columns);
    for i in 0..columns {
        let data_type = all.choose(rng).expect("there are types").clone();
        fields.push(Field::new(format!("c{i}"), data_type, rng.random_bool(0.67)));
    }
    Arc::new(Schema::new(fields))
}

/// A batch of a schema. Each column draws its share of nulls (none where it is not nullable) and how far
/// its values go; three in four keep to small values.
///
/// # Panics
/// For a column of a type that expressions do not support.
///
/// ```
/// use rand::SeedableRng;
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
/// let schema = sabot_testkit::random_schema(&mut rng);
/// let batch = sabot_testkit::random_batch(&mut rng, &schema, 65);
/// assert_eq!((batch.schema(), batch.num_rows()), (schema, 65));
/// ```
pub fn random_batch(rng: &mut impl Rng, schema: &SchemaRef, rows: usize) -> RecordBatch {
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let share = [0.0, 0.1, 0.1, 0.5, 1.0].choose(rng).copied().unwrap_or(0.1);
        let null_share = if field.is_nullable() { share } else { 0.0 };
        let spread = if rng.random_bool(0.75) { Spread::Narrow } else { Spread::Wide };
        columns.push(random_array(rng, field.data_type(), rows, null_share, spread));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).expect("columns fit their fields")
}
