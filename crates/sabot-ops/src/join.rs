//! Join: rows of two inputs that belong together.
//!
//! One input, the *build* side, is complete before the first row of the other, the *probe* side, is
//! looked at. Which tasks hold which rows of the build side is the plan's affair: each row of the probe
//! side must meet all rows of the build side that have its key.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use sabot_batch::hidden;
use sabot_expr::{TypedExpr, type_name};
use serde::{Deserialize, Serialize};
use std::fmt;

use crate::SpecError;
use crate::group_by::{check_key, key_type};
use crate::spec::{column, unique_names};

const OPERATOR: &str = "join";

/// Which rows a join gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinKind {
    /// Each pair of rows that match.
    #[default]
    Inner,
    /// Each pair, and each row of the probe side that matches nothing, with nulls.
    Left,
    /// Each pair, and each row of the build side that matches nothing, with nulls.
    Right,
    /// Each pair, and each row of either side that matches nothing, with nulls.
    Full,
    /// Each row of the probe side that matches something, once (SQL's EXISTS).
    Semi,
    /// Each row of the probe side that matches nothing (SQL's NOT EXISTS, and not NOT IN: a null on
    /// either side matches nothing, so a probe row with a null key is given).
    Anti,
}

impl JoinKind {
    /// The name in `explain` and messages.
    pub fn name(self) -> &'static str {
        match self {
            JoinKind::Inner => "inner",
            JoinKind::Left => "left",
            JoinKind::Right => "right",
            JoinKind::Full => "full",
            JoinKind::Semi => "semi",
            JoinKind::Anti => "anti",
        }
    }

    /// Whether a row of the probe side is given when it matches nothing.
    pub fn keeps_probe(self) -> bool {
        matches!(self, JoinKind::Left | JoinKind::Full | JoinKind::Anti)
    }

    /// Whether a row of the build side is given when it matches nothing.
    pub fn keeps_build(self) -> bool {
        matches!(self, JoinKind::Right | JoinKind::Full)
    }

    /// Whether columns of the build side are given.
    pub fn gives_build(self) -> bool {
        !matches!(self, JoinKind::Semi | JoinKind::Anti)
    }
}

impl fmt::Display for JoinKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which of the rows with an equal key an as-of join takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The last one that is not later than the probe's row; of several at one time the last in the order
    /// of the build side.
    #[default]
    Backward,
    /// The first one that is not earlier than the probe's row; of several at one time the first in the
    /// order of the build side.
    Forward,
}

/// What makes a join an as-of join: of the rows with an equal key at most one matches, the nearest in
/// time. A row without time, on either side, matches nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Nearest {
    /// The probe side's time: a timestamp.
    pub probe: usize,
    /// The build side's time: a timestamp of the same type.
    pub build: usize,
    /// Before or behind.
    pub direction: Direction,
    /// How far the two may be apart, both ends included, in the unit of the timestamps.
    pub tolerance: Option<i64>,
}

/// Joins rows by equal keys and a condition.
///
/// Two rows *match* when all their keys are equal and the condition, if there is one, is true for them.
/// Keys are equal as in the key hash (−0.0 equals 0.0, NaN equals NaN, a dictionary equals its strings)
/// with one exception: a null equals nothing, not even a null. A condition that is null is not true.
/// Without keys every row meets every row, and the condition alone decides.
///
/// The condition is evaluated for pairs with equal keys only, and errors exist for those only. It may
/// fail on a pair that the result would not need: which pairs a semi join or an anti join looks at
/// beyond the first match is not defined, the other kinds look at all.
///
/// **Order.** Results come in the order of the probe side; the matches of one row in the order of the
/// build side. Behind them, for right and full joins, the build rows without a match in the order of the
/// build side. That order is (event time + lateness, source partition, row number, key) of the hidden
/// columns that the build side brings; rows that agree in all of these, or bring none, keep the order in
/// which they stand.
///
/// An empty build side matches nothing; an empty probe side leaves the build rows without a match.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JoinSpec {
    /// Which rows are given.
    pub kind: JoinKind,
    /// Pairs of key columns, of the probe side and of the build side; of one type each, dictionaries aside.
    pub keys: Vec<(usize, usize)>,
    /// Whether only the nearest row with an equal key can match.
    pub nearest: Option<Nearest>,
    /// The condition, over the columns of the probe side and behind them those of the build side.
    pub condition: Option<TypedExpr>,
    /// Whether two build rows with one key are an error. Keys with a null are not looked at.
    pub unique: bool,
    /// Seed of the key hash.
    pub seed: u64,
    /// What comes out.
    pub columns: Vec<JoinColumn>,
    /// The join's number within its plan: the hidden partition (`ordinal << 20`) of build rows that match
    /// nothing, which stand behind all others.
    pub ordinal: u32,
}

/// A column of a join's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JoinColumn {
    /// Its name.
    pub name: String,
    /// Its values.
    pub source: JoinSource,
}

/// Where the values of a result column come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinSource {
    /// A column of the probe side; null for build rows that match nothing.
    Probe(usize),
    /// A column of the build side; null for probe rows that match nothing.
    Build(usize),
    /// A key: the probe side's column where there is a probe row, else the build side's. Both have one
    /// type.
    Either {
        /// The probe side's column.
        probe: usize,
        /// The build side's column.
        build: usize,
    },
    /// The hidden key ([`hidden::KEY`]) that gives results of one probe row their order: the probe side's
    /// own, if it brings one, and behind it the number of the match as 8 bytes, the first byte most
    /// significant. Where the result has no event time but the probe side has, that time + lateness stands
    /// before both, or results of windows would have one place. For build rows that match nothing their place on the build side, in a form whose
    /// byte order is that place's order.
    Order {
        /// The probe side's own hidden key.
        probe: Option<usize>,
        /// The probe side's hidden event time and lateness, where they belong to the place.
        time: Option<(usize, usize)>,
    },
}

impl JoinSpec {
    /// The schema of the result.
    ///
    /// # Errors
    /// [`SpecError`] when a column is missing, keys have different types or one that cannot be a key, the
    /// condition is not boolean, or two result columns share a name.
    pub fn output_schema(&self, probe: &SchemaRef, build: &SchemaRef) -> Result<SchemaRef, SpecError> {
        for (left, right) in &self.keys {
            let (left, right) = (column(OPERATOR, probe, *left)?, column(OPERATOR, build, *right)?);
            check_key(OPERATOR, left)?;
            same_type("key", left, right)?;
        }
        if let Some(nearest) = &self.nearest {
            let (left, right) =
                (column(OPERATOR, probe, nearest.probe)?, column(OPERATOR, build, nearest.build)?);
            if !matches!(left.data_type(), DataType::Timestamp(..)) {
                return Err(SpecError::ColumnType {
                    operator: OPERATOR,
                    role: "time",
                    column: left.name().clone(),
                    got: left.data_type().clone(),
                    expected: "a timestamp".to_owned(),
                });
            }
            same_type("time", left, right)?;
        }
        if let Some(condition) = &self.condition {
            self.check_condition(condition, probe, build)?;
        }
        let fields = self.columns.iter().map(|c| self.field(c, probe, build));
        unique_names(OPERATOR, Schema::new(fields.collect::<Result<Vec<_>, _>>()?))
    }

    /// The schema that the condition is evaluated over: the columns of both sides, names as they are.
    pub fn condition_schema(probe: &Schema, build: &Schema) -> SchemaRef {
        let fields = probe.fields().iter().chain(build.fields()).cloned();
        Schema::new(fields.collect::<Vec<_>>()).into()
    }

    fn check_condition(
        &self,
        condition: &TypedExpr,
        probe: &Schema,
        build: &Schema,
    ) -> Result<(), SpecError> {
        if condition.data_type() != &DataType::Boolean {
            let message =
                format!("the condition {condition} is {}; it must be bool", type_name(condition.data_type()));
            return Err(SpecError::Invalid { operator: OPERATOR, message });
        }
        let both = Self::condition_schema(probe, build);
        crate::filter_project::check_columns(OPERATOR, condition, &both)
    }

    fn field(&self, out: &JoinColumn, probe: &Schema, build: &Schema) -> Result<Field, SpecError> {
        let of = |schema: &Schema, index: usize, outer: bool| {
            let field = column(OPERATOR, schema, index)?;
            Ok::<_, SpecError>((field.data_type().clone(), field.is_nullable() || outer))
        };
        let (data_type, nullable) = match out.source {
            // Of a build row that matches nothing the hidden columns are made up.
            JoinSource::Probe(i) => of(probe, i, self.kind.keeps_build() && !hidden::is_hidden(&out.name))?,
            JoinSource::Build(i) => of(build, i, self.kind.keeps_probe())?,
            JoinSource::Either { probe: left, build: right } => {
                let (data_type, nullable) = of(probe, left, false)?;
                let (other, null_there) = of(build, right, false)?;
                if data_type != other {
                    return Err(SpecError::ColumnType {
                        operator: OPERATOR,
                        role: "key",
                        column: build.field(right).name().clone(),
                        got: other,
                        expected: format!("{}, as the probe side's is", type_name(&data_type)),
                    });
                }
                (data_type, nullable || (self.kind.keeps_build() && null_there))
            }
            JoinSource::Order { probe: given, time } => {
                for index in given.into_iter().chain(time.into_iter().flat_map(|(t, l)| [t, l])) {
                    column(OPERATOR, probe, index)?;
                }
                (DataType::Binary, false)
            }
        };
        Ok(Field::new(&out.name, data_type, nullable))
    }

    /// The plain types of the keys: dictionaries looked up.
    pub fn key_types(&self, build: &Schema) -> Vec<DataType> {
        self.keys.iter().map(|(_, right)| key_type(build.field(*right).data_type())).collect()
    }
}

fn same_type(role: &'static str, left: &Field, right: &Field) -> Result<(), SpecError> {
    if key_type(left.data_type()) == key_type(right.data_type()) {
        return Ok(());
    }
    Err(SpecError::ColumnType {
        operator: OPERATOR,
        role,
        column: right.name().clone(),
        got: right.data_type().clone(),
        expected: format!("{}, as \"{}\" is", type_name(left.data_type()), left.name()),
    })
}

/// A length of time in µs, as a number of whole units of a timestamp.
pub fn in_units(micros: i64, unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => micros.div_euclid(1_000_000),
        TimeUnit::Millisecond => micros.div_euclid(1_000),
        TimeUnit::Microsecond => micros,
        TimeUnit::Nanosecond => micros.saturating_mul(1_000),
    }
}

impl fmt::Display for JoinSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} join on {} keys", self.kind, self.keys.len())?;
        if let Some(condition) = &self.condition {
            write!(f, " where {condition}")?;
        }
        Ok(())
    }
}
