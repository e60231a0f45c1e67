//! A seeded source of made-up rows.
//!
//! Tests, benchmarks and demonstrations need input of any size that is the same everywhere. Every cell is
//! a pure function of (seed, partition, row number, column), computed without any state that runs along.
//! So a reader can start at any row, any cut into morsels gives the same rows, and two machines agree
//! (on skewed words as far as their mathematical libraries agree on powers).

mod column;
mod options;
mod reader;
#[cfg(test)]
mod tests;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use sabot_common::Span;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::source::unknown_partition;
use crate::{
    Boundedness, ConnectError, PartitionId, PartitionReader, Position, ReadRequest, Source, Spawner,
};
use column::Maker;
pub use options::GeneratorFactory;
use reader::GeneratorReader;

/// Most distinct values of a column: each has an entry in a table of probabilities.
pub const DISTINCT_MAX: u32 = 1 << 20;

/// What a generator makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GeneratorSpec {
    /// Two generators that differ in the seed alone make unrelated rows of the same kind.
    pub seed: u64,
    /// Rows of all partitions together; without end when `None`.
    pub rows: Option<u64>,
    /// Partitions, at least 1. Row `r` of partition `p` is row `r · partitions + p` of the whole.
    pub partitions: u32,
    /// The columns, in order.
    pub columns: Vec<GeneratorColumn>,
}

/// A column of made-up values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GeneratorColumn {
    /// The name.
    pub name: String,
    /// The values.
    pub values: Values,
    /// The share of nulls, 0 to 1.
    pub nulls: f64,
}

/// How the values of a column are made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Values {
    /// Int64: `start + step · n` for row `n` of the whole, wrapping.
    Sequence {
        /// The value of row 0.
        start: i64,
        /// The difference from row to row.
        step: i64,
    },
    /// Int64: every value from `min` to `max`, both included, is as likely.
    Int {
        /// The smallest value.
        min: i64,
        /// The largest value.
        max: i64,
    },
    /// Float64: uniform from `min` to `max`.
    Float {
        /// The lower end.
        min: f64,
        /// The upper end.
        max: f64,
    },
    /// Boolean: true in this share of the rows.
    Bool {
        /// The share, 0 to 1.
        share: f64,
    },
    /// Utf8: one of these words; the word at `i` is `1 / (i + 1)^skew` times as likely as the first.
    Choice {
        /// The words.
        words: Vec<String>,
        /// 0 makes all words equally likely; 1 is the law that Zipf found in language.
        skew: f64,
    },
    /// Utf8: `prefix0`, `prefix1`, … with `distinct` values, as likely as in [`Values::Choice`].
    Label {
        /// What every value starts with.
        prefix: String,
        /// How many values there are.
        distinct: u32,
        /// As in [`Values::Choice`].
        skew: f64,
    },
    /// Timestamp(µs): `start` plus the row's place at `rate` rows a second over all partitions, less a
    /// uniform delay of at most `disorder`.
    Time {
        /// Microseconds since the epoch at row 0.
        start: i64,
        /// Rows in a second, at least 1.
        rate: u32,
        /// How far a row can be behind its place.
        disorder: Span,
    },
}

impl Values {
    fn data_type(&self) -> DataType {
        match self {
            Values::Sequence { .. } | Values::Int { .. } => DataType::Int64,
            Values::Float { .. } => DataType::Float64,
            Values::Bool { .. } => DataType::Boolean,
            Values::Choice { .. } | Values::Label { .. } => DataType::Utf8,
            Values::Time { .. } => DataType::Timestamp(TimeUnit::Microsecond, None),
        }
    }
}

impl GeneratorColumn {
    /// A column without nulls.
    pub fn new(name: impl Into<String>, values: Values) -> Self {
        Self { name: name.into(), values, nulls: 0.0 }
    }

    /// The column with this share of nulls, 0 to 1.
    #[must_use]
    pub fn with_nulls(mut self, share: f64) -> Self {
        self.nulls = share;
        self
    }
}

/// A replayable source of made-up rows.
///
/// ```
/// use sabot_connect::generator::{GeneratorColumn, GeneratorSource, GeneratorSpec, Values};
/// use sabot_connect::Source;
/// let delay = GeneratorColumn::new("delay", Values::Int { min: -10, max: 60 });
/// let spec = GeneratorSpec { seed: 7, rows: Some(1_000), partitions: 2, columns: vec![delay] };
/// let source = GeneratorSource::new("delays", spec)?;
/// assert_eq!(source.discover()?.len(), 2);
/// # Ok::<(), sabot_connect::ConnectError>(())
/// ```
#[derive(Debug)]
pub struct GeneratorSource {
    name: Arc<str>,
    spec: GeneratorSpec,
    schema: SchemaRef,
    makers: Arc<[Maker]>,
}

impl GeneratorSource {
    /// A source of what `spec` describes.
    ///
    /// # Errors
    /// [`ConnectError::BadOption`] for a specification that means nothing: no partition, an empty range,
    /// no words, a share outside 0 to 1, two columns of one name.
    pub fn new(name: impl Into<Arc<str>>, spec: GeneratorSpec) -> Result<Self, ConnectError> {
        if spec.partitions == 0 {
            return Err(bad("partitions", "at least 1", "0"));
        }
        let mut makers = Vec::with_capacity(spec.columns.len());
        let mut fields: Vec<Field> = Vec::with_capacity(spec.columns.len());
        for (i, column) in spec.columns.iter().enumerate() {
            if fields.iter().any(|field| field.name() == &column.name) {
                return Err(bad("columns", "names that differ", &column.name));
            }
            makers.push(Maker::new(spec.seed, i as u64, column)?);
            fields.push(Field::new(&column.name, column.values.data_type(), column.nulls > 0.0));
        }
        let schema = Arc::new(Schema::new(fields));
        Ok(Self { name: name.into(), spec, schema, makers: makers.into() })
    }

    fn partition_name(&self, partition: u32) -> PartitionId {
        match self.spec.partitions {
            1 => PartitionId::new(self.name.clone()),
            _ => PartitionId::new(format!("{}/{partition}", self.name)),
        }
    }

    /// Rows of a partition; `None` without end.
    fn partition_rows(&self, partition: u32) -> Option<u64> {
        let (partition, partitions) = (u64::from(partition), u64::from(self.spec.partitions));
        Some(self.spec.rows?.saturating_sub(partition).div_ceil(partitions))
    }
}

fn bad(option: &str, expected: &str, found: impl ToString) -> ConnectError {
    ConnectError::BadOption {
        kind: "generator".to_owned(),
        option: option.to_owned(),
        expected: expected.to_owned(),
        found: found.to_string(),
    }
}

impl Source for GeneratorSource {
    fn name(&self) -> String {
        format!("generator {}", self.name)
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn boundedness(&self) -> Boundedness {
        match self.spec.rows {
            Some(_) => Boundedness::Bounded,
            None => Boundedness::Unbounded,
        }
    }

    fn replayable(&self) -> bool {
        true
    }

    fn rows(&self) -> Option<u64> {
        self.spec.rows
    }

    fn claim(&self) -> Result<(), ConnectError> {
        Ok(())
    }

    fn discover(&self) -> Result<Vec<PartitionId>, ConnectError> {
        Ok((0..self.spec.partitions).map(|partition| self.partition_name(partition)).collect())
    }

    fn open(
        &self,
        partition: &PartitionId,
        from: Option<&Position>,
        request: &ReadRequest,
        _spawner: &Arc<dyn Spawner>,
    ) -> Result<Box<dyn PartitionReader>, ConnectError> {
        let found = (0..self.spec.partitions).find(|i| self.partition_name(*i) == *partition);
        let Some(number) = found else {
            return Err(unknown_partition(&self.name(), partition, &self.discover()?));
        };
        let rows = self.partition_rows(number);
        let row = from.map_or(0, |position| position.row);
        if let Some(rows) = rows.filter(|rows| row > *rows) {
            let reason = format!("the partition has {rows} rows");
            return Err(ConnectError::BadPosition { name: partition.to_string(), row, reason });
        }
        let place = (u64::from(number), u64::from(self.spec.partitions));
        let reader =
            GeneratorReader::new(&self.name(), &self.schema, &self.makers, place, row, rows, request)?;
        Ok(Box::new(reader))
    }
}
