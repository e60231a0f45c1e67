//! The suite's tables: seeded, not constant, written once for everyone.

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::ipc::{reader::FileReader, writer::FileWriter};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use crate::data;

/// Rows of a batch in a table's file.
pub const BATCH_ROWS: usize = 16_384;
/// The values of `v` lie from 0 to below this.
pub const V_END: i64 = 1_000_000;

/// The columns of a table.
type Columns = Vec<(&'static str, ArrayRef)>;

fn ints(seed: u64, rows: usize, end: i64) -> ArrayRef {
    Arc::new(Int64Array::from(data::ints(seed, rows, 0..end)))
}

fn words(seed: u64, rows: usize, distinct: i64) -> ArrayRef {
    Arc::new(StringArray::from(data::texts(seed, rows, distinct, 12)))
}

/// Floats from 0 to below 1000, one in a hundred of them null.
fn measures(seed: u64, rows: usize) -> ArrayRef {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let value = |_| (rng.random_range(0..100) > 0).then(|| rng.random_range(0.0..1000.0));
    Arc::new((0..rows).map(value).collect::<Float64Array>())
}

/// Microseconds between two rows of `events`: ten million rows are as many seconds as a third of a year.
pub const STEP_US: i64 = 1_000_000;

/// Timestamps with so many microseconds from one to the next, the first at 2001-01-01.
fn times(rows: usize, first_us: i64, step_us: i64) -> ArrayRef {
    const START_US: i64 = 978_307_200_000_000;
    let values = (0i64..).take(rows).map(|row| START_US + first_us + row * step_us);
    Arc::new(TimestampMicrosecondArray::from_iter_values(values))
}

/// Timestamps as the numbers that they count.
fn microseconds(times: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    arrow::compute::cast(times, &DataType::Int64)
}

/// The numbers below `rows` that are even, each once, in a random order.
fn unique(seed: u64, rows: usize) -> ArrayRef {
    let mut numbers: Vec<i64> = (0i64..).step_by(2).take(rows).collect();
    numbers.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    Arc::new(Int64Array::from(numbers))
}

/// The names of the tables.
pub const NAMES: [&str; 5] = ["ints", "strings", "keys", "events", "quotes"];

/// A table of so many rows.
///
/// `ints`: `id` counts rows, `k10`, `k1k` and `k1m` have 10, 1,000 and 1,000,000 distinct values, `v` is
/// uniform below [`V_END`], `x` is a float with nulls. `strings`: `s10`, `s1k`, `s1m` likewise, of twelve
/// letters, and `v` and `x` again. `keys`, a twentieth as long: `k` has even numbers, each once and in no
/// order, so that half of what `k1m` holds has a match where there are ten million rows, and `w` is uniform.
/// `events` come a second apart: `t`, the same as a number `us`, `k1k`, `v`, `x`; `quotes`, half as long, two seconds apart and half a
/// second off: `t`, `k1k`, `price`.
///
/// # Errors
/// For a name that is none of [`NAMES`].
pub fn make(name: &str, rows: usize) -> Result<RecordBatch, ArrowError> {
    let columns: Columns = match name {
        "ints" => vec![
            ("id", Arc::new(Int64Array::from_iter_values((0i64..).take(rows)))),
            ("k10", ints(1, rows, 10)),
            ("k1k", ints(2, rows, 1_000)),
            ("k1m", ints(3, rows, 1_000_000)),
            ("v", ints(4, rows, V_END)),
            ("x", measures(5, rows)),
        ],
        "strings" => vec![
            ("s10", words(11, rows, 10)),
            ("s1k", words(12, rows, 1_000)),
            ("s1m", words(13, rows, 1_000_000)),
            ("v", ints(4, rows, V_END)),
            ("x", measures(5, rows)),
        ],
        "keys" => {
            let rows = rows.div_ceil(20);
            vec![("k", unique(21, rows)), ("w", ints(22, rows, V_END))]
        }
        "events" => vec![
            ("t", times(rows, 0, STEP_US)),
            ("us", microseconds(&times(rows, 0, STEP_US))?),
            ("k1k", ints(2, rows, 1_000)),
            ("v", ints(4, rows, V_END)),
            ("x", measures(5, rows)),
        ],
        "quotes" => {
            let rows = rows.div_ceil(2);
            vec![
                ("t", times(rows, STEP_US / 2, 2 * STEP_US)),
                ("k1k", ints(31, rows, 1_000)),
                ("price", ints(32, rows, V_END)),
            ]
        }
        other => {
            return Err(ArrowError::InvalidArgumentError(format!("no table {other}; tables: {NAMES:?}")));
        }
    };
    let field = |(name, array): &(&str, ArrayRef)| Field::new(*name, array.data_type().clone(), *name == "x");
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns.into_iter().map(|(_, array)| array).collect())
}

/// Writes a table as an Arrow IPC file.
///
/// # Errors
/// For an unknown name, or a file that cannot be written.
pub fn write(name: &str, rows: usize, path: &Path) -> Result<(), ArrowError> {
    let table = make(name, rows)?;
    save(path, &data::morsels(&table, BATCH_ROWS))
}

/// Writes batches of one schema as an Arrow IPC file; none at all as a file without columns.
///
/// # Errors
/// When the file cannot be written.
pub fn save(path: &Path, batches: &[RecordBatch]) -> Result<(), ArrowError> {
    let schema = batches.first().map_or_else(|| Schema::empty().into(), RecordBatch::schema);
    let mut writer = FileWriter::try_new_buffered(File::create(path)?, &schema)?;
    batches.iter().try_for_each(|batch| writer.write(batch))?;
    writer.finish()
}

/// Reads an Arrow IPC file.
///
/// # Errors
/// When it is not there or is something else.
pub fn load(path: &Path) -> Result<Vec<RecordBatch>, ArrowError> {
    FileReader::try_new(BufReader::new(File::open(path)?), None)?.collect()
}
