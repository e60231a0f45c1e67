//! Seeded rows: events with disorder, some of them too late, keys, nulls, floats that round.

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use rand::Rng;
use rand::seq::IndexedRandom;
use sabot_testkit::array::{Spread, random_array};
use std::sync::Arc;

use crate::reference::Partitions;

/// How far rows may be out of order, in µs.
pub const OUT_OF_ORDERNESS: i64 = 5_000_000;
/// The first event time.
const START: i64 = 1_000_000_000_000_000;
/// Event time between two rows of a partition.
const STEP: i64 = 1_000_000;

/// The columns of [`events`].
///
/// | column | what it is for |
/// |---|---|
/// | t | event time, in disorder; one row in a hundred is late |
/// | k | a key: few strings and null |
/// | n | small integers, never null |
/// | m | small 32-bit integers and null: also a key |
/// | x | floats whose sums never round, and null |
/// | r | floats whose sums do round |
/// | b | truth and null |
/// | d | a dictionary of strings, with null |
pub fn schema() -> SchemaRef {
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    Arc::new(Schema::new(vec![
        Field::new("t", DataType::Timestamp(TimeUnit::Microsecond, None), false),
        Field::new("k", DataType::Utf8, true),
        Field::new("n", DataType::Int64, false),
        Field::new("m", DataType::Int32, true),
        Field::new("x", DataType::Float64, true),
        Field::new("r", DataType::Float64, false),
        Field::new("b", DataType::Boolean, true),
        Field::new("d", dictionary, true),
    ]))
}

/// The columns of [`payload`]: `t`, `k` and `n` of [`events`], and one column of every type, `p0`, `p1` and so on.
pub fn payload_schema() -> SchemaRef {
    let events = schema();
    let mut fields: Vec<Field> = events.fields().iter().take(3).map(|field| field.as_ref().clone()).collect();
    let types = sabot_testkit::array::types().into_iter().enumerate();
    fields.extend(types.map(|(i, data_type)| Field::new(format!("p{i}"), data_type, true)));
    Arc::new(Schema::new(fields))
}

/// As [`events`], with a column of every type: few values and many, one in ten null.
pub fn payload(rng: &mut impl Rng, rows: usize, partitions: usize) -> Partitions {
    let schema = payload_schema();
    let mut all = events(rng, rows, partitions);
    for batch in all.iter_mut().flatten() {
        let mut columns = batch.columns()[..3].to_vec();
        for field in &schema.fields()[3..] {
            let spread = if rng.random_bool(0.7) { Spread::Narrow } else { Spread::Wide };
            columns.push(random_array(rng, field.data_type(), batch.num_rows(), 0.1, spread));
        }
        *batch = RecordBatch::try_new(schema.clone(), columns).expect("the columns fit the schema");
    }
    all
}

/// `rows` rows in partitions of uneven size, each in batches of uneven size.
pub fn events(rng: &mut impl Rng, rows: usize, partitions: usize) -> Partitions {
    let mut left = rows;
    let mut all = Vec::with_capacity(partitions);
    for partition in 0..partitions {
        // Each partition takes between a third and two thirds of what is left, the last one the rest.
        let mine = match partition + 1 == partitions {
            true => left,
            false => rng.random_range(left / 3..=left * 2 / 3),
        };
        left -= mine;
        all.push(one_partition(rng, mine));
    }
    all
}

fn one_partition(rng: &mut impl Rng, rows: usize) -> Vec<RecordBatch> {
    // Partitions do not run in step: one may be a minute ahead of another.
    let mut clock = START + rng.random_range(0..60) * STEP;
    let mut batches = Vec::new();
    let mut left = rows;
    while left > 0 {
        let mine = rng.random_range(1..=left.min(400));
        left -= mine;
        batches.push(batch(rng, mine, &mut clock));
    }
    batches
}

fn batch(rng: &mut impl Rng, rows: usize, clock: &mut i64) -> RecordBatch {
    const KEYS: [Option<&str>; 7] =
        [Some("SFO"), Some("JFK"), Some("ORD"), Some("a"), Some(""), Some("Zürich"), None];
    let times: Vec<i64> = (0..rows).map(|_| time(rng, clock)).collect();
    let keys = |rng: &mut dyn rand::RngCore| -> Vec<Option<&str>> {
        (0..rows).map(|_| KEYS.choose(rng).copied().flatten()).collect()
    };
    let k: StringArray = keys(rng).into();
    let d: DictionaryArray<Int32Type> = keys(rng).into_iter().collect();
    let n: Int64Array = (0..rows).map(|_| rng.random_range(-50..200)).collect::<Vec<i64>>().into();
    let m: Int32Array = (0..rows).map(|_| maybe(rng, 10).then(|| rng.random_range(0..9))).collect();
    let x: Float64Array =
        (0..rows).map(|_| maybe(rng, 12).then(|| f64::from(rng.random_range(-4_000..4_000)) / 8.0)).collect();
    let r: Float64Array = (0..rows).map(|_| rounding(rng)).collect::<Vec<f64>>().into();
    let b: BooleanArray = (0..rows).map(|_| maybe(rng, 15).then(|| rng.random())).collect();
    let t: ArrayRef = Arc::new(TimestampMicrosecondArray::from(times));
    let columns: Vec<ArrayRef> =
        vec![t, Arc::new(k), Arc::new(n), Arc::new(m), Arc::new(x), Arc::new(r), Arc::new(b), Arc::new(d)];
    RecordBatch::try_new(schema(), columns).expect("the columns fit the schema")
}

fn time(rng: &mut impl Rng, clock: &mut i64) -> i64 {
    *clock += STEP;
    let disorder = rng.random_range(0..OUT_OF_ORDERNESS - STEP);
    let late =
        if rng.random_ratio(1, 100) { rng.random_range(2..60) * 1_000_000 + OUT_OF_ORDERNESS } else { 0 };
    *clock - disorder - late
}

/// True but for one in `n`.
fn maybe(rng: &mut impl Rng, n: u32) -> bool {
    !rng.random_ratio(1, n)
}

/// Floats of very different size, so that sums depend on the order of adding.
fn rounding(rng: &mut impl Rng) -> f64 {
    let scale = 10f64.powi(rng.random_range(-6..7));
    (rng.random::<f64>() - 0.4) * scale
}
