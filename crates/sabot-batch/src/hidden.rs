//! Columns that the engine carries beside the user's: event time, lateness, order, hash.
//!
//! They are ordinary Arrow columns whose names start with [`PREFIX`], so that filters, exchanges and
//! devices move them like any other. No user column may have such a name; the plan refuses it. A
//! stream carries only those that something downstream asks for.

use arrow::array::{Array, ArrayRef, BinaryArray, Int64Array, UInt32Array, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use std::sync::{Arc, LazyLock};

/// What every hidden column's name starts with.
pub const PREFIX: &str = "__sabot.";
/// Int64, not null: the row's event time in µs UTC, floored.
pub const TIME: &str = "__sabot.time";
/// Int64, not null: how many µs the row is behind the bound of its own source partition; 0 when on time.
pub const LATE: &str = "__sabot.late";
/// UInt32, not null: the ordinal of the row's source partition within the plan.
pub const PARTITION: &str = "__sabot.partition";
/// UInt64, not null: the row's number within its source partition, from 0.
pub const ROW: &str = "__sabot.row";
/// Binary, not null: the key of a window result in a form whose byte order is the total order of keys.
pub const KEY: &str = "__sabot.key";
/// UInt64, not null: the key hash of the row.
pub const HASH: &str = "__sabot.hash";

/// Int64, not null: the start of the row's slice in µs UTC: a stretch of time that no window divides, which is
/// the window itself where windows do not overlap.
pub const WINDOW: &str = "__sabot.window";

/// Whether a column name belongs to the engine.
pub fn is_hidden(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// The field of a hidden column; `None` for a name that is not one of this module's.
pub fn field(name: &str) -> Option<Field> {
    let data_type = match name {
        TIME | LATE | WINDOW => DataType::Int64,
        PARTITION => DataType::UInt32,
        ROW | HASH => DataType::UInt64,
        KEY => DataType::Binary,
        _ => return None,
    };
    Some(Field::new(name, data_type, false))
}

/// The schema without hidden columns: what a user sees.
pub fn visible_schema(schema: &Schema) -> Schema {
    let fields: Vec<_> = schema.fields().iter().filter(|f| !is_hidden(f.name())).cloned().collect();
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

/// The batch without hidden columns.
pub fn visible_batch(batch: &RecordBatch) -> RecordBatch {
    let keep: Vec<usize> =
        (0..batch.num_columns()).filter(|i| !is_hidden(batch.schema_ref().field(*i).name())).collect();
    // Indices come from the batch itself, so projecting cannot fail; the batch is the harmless answer.
    batch.project(&keep).unwrap_or_else(|_| batch.clone())
}

/// The event times of a batch, if it carries them.
pub fn times(batch: &RecordBatch) -> Option<&Int64Array> {
    batch.column_by_name(TIME)?.as_any().downcast_ref()
}

/// The lateness of a batch's rows, if it carries it.
pub fn lateness(batch: &RecordBatch) -> Option<&Int64Array> {
    batch.column_by_name(LATE)?.as_any().downcast_ref()
}

/// The source partitions of a batch's rows, if it carries them.
pub fn partitions(batch: &RecordBatch) -> Option<&UInt32Array> {
    batch.column_by_name(PARTITION)?.as_any().downcast_ref()
}

/// The row numbers of a batch's rows, if it carries them.
pub fn row_numbers(batch: &RecordBatch) -> Option<&UInt64Array> {
    batch.column_by_name(ROW)?.as_any().downcast_ref()
}

/// The ordered keys of a batch's rows, if it carries them.
pub fn keys(batch: &RecordBatch) -> Option<&BinaryArray> {
    batch.column_by_name(KEY)?.as_any().downcast_ref()
}

/// The key hashes of a batch's rows, if it carries them.
pub fn hashes(batch: &RecordBatch) -> Option<&UInt64Array> {
    batch.column_by_name(HASH)?.as_any().downcast_ref()
}

/// A lateness column of `rows` zeros. Nearly all morsels are on time, so the zeros are shared.
pub fn all_on_time(rows: usize) -> ArrayRef {
    static ZEROS: LazyLock<Int64Array> = LazyLock::new(|| Int64Array::from(vec![0i64; 65_536]));
    if rows <= ZEROS.len() {
        Arc::new(ZEROS.slice(0, rows))
    } else {
        Arc::new(Int64Array::from(vec![0i64; rows]))
    }
}
