//! Over: for each row a value of the rows around it.
//!
//! Rows of one partition stand in an order; a call looks at the row's place in it, or at the rows of a
//! frame around it, and adds a column. The semantics are those of SQL's window functions, here called
//! *over* because windows are what time is cut into.

use arrow::datatypes::{DataType, Field, Schema};
use sabot_batch::hidden;
use sabot_common::Span;
use sabot_expr::type_name;
use serde::{Deserialize, Serialize};
use std::fmt;

use crate::spec::column;
use crate::{AggregateFunction, AggregateSpec, RankSpec, SortKey, SpecError};

pub(crate) mod rolling;

const OPERATOR: &str = "over";

/// Adds columns that are computed over partitions of ordered rows.
///
/// Rows are of one partition when they agree in its columns as keys do (see [`RankSpec`](crate::RankSpec));
/// without columns there is one partition. Within it rows stand in the order of `order`, then of `ties`; what
/// they leave open is decided by the order of the stream. Rows that are equal in `order` are *peers*,
/// whatever their place; without order all rows are peers.
///
/// No row is lost or made, and rows are passed on as they are. A sum beyond the range of its type is an
/// error that names the partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OverSpec {
    /// The columns that make a partition.
    pub partition: Vec<usize>,
    /// The order within it. Event time is the column [`hidden::TIME`].
    pub order: Vec<SortKey>,
    /// The order among peers, which stay peers: it says who comes first where rows are counted.
    pub ties: Vec<SortKey>,
    /// What is computed; one column each, in this order, behind those of the rows.
    pub calls: Vec<OverCall>,
}

/// One column that is added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OverCall {
    /// What is computed.
    pub function: OverFunction,
    /// The rows that the functions of a frame look at; the others look at the partition.
    pub frame: Frame,
    /// Name of the column.
    pub name: String,
}

/// What can be computed for a row.
///
/// | function | result |
/// |---|---|
/// | row_number | int64: the row's place in the partition, from 1 |
/// | rank | int64: the place of the first of its peers |
/// | dense_rank | int64: how many groups of peers stand up to its own |
/// | lag, lead | the value so many rows before or behind; null beyond the partition |
/// | first_value, last_value | the value of the frame's first or last row, be it null; null for an empty frame |
/// | aggregates | the aggregate of the frame's rows; of an empty frame count is 0 and all else null |
///
/// Aggregates may have filters; those that depend on the order of rows, and functions of users, are refused.
/// Aggregates are never computed by taking away what left the frame, so floats keep the bound that they
/// have in a group-by, over the rows of the frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum OverFunction {
    /// The row's place.
    RowNumber,
    /// The place of its first peer.
    Rank,
    /// The number of its peers' group.
    DenseRank,
    /// The value of a column so many rows before.
    Lag(usize, u64),
    /// The value of a column so many rows behind.
    Lead(usize, u64),
    /// The value of a column in the first row of the frame.
    FirstValue(usize),
    /// The value of a column in the last row of the frame.
    LastValue(usize),
    /// An aggregate over the rows of the frame.
    Aggregate(AggregateSpec),
}

/// The rows around a row, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// What distances are counted in.
    pub units: FrameUnits,
    /// Where it begins.
    pub start: FrameBound,
    /// Where it ends.
    pub end: FrameBound,
}

/// What the distances of a frame are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FrameUnits {
    /// Rows, in their total order.
    Rows,
    /// The value of the one sort key. The current row stands for all its peers. Rows whose value is null
    /// or NaN are at no distance from others: a bound at a distance means their peers.
    Range,
}

/// An end of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum FrameBound {
    /// The first row of the partition.
    UnboundedPreceding,
    /// So far before the row.
    Preceding(Distance),
    /// The row; among ranges its peers as well.
    CurrentRow,
    /// So far behind the row.
    Following(Distance),
    /// The last row of the partition.
    UnboundedFollowing,
}

/// How far a bound is away. Never negative.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Distance {
    /// Rows, or the difference of integers or floats.
    Count(u64),
    /// The difference of times or dates.
    Span(Span),
    /// The difference of floats.
    Float(f64),
}

impl From<Span> for Distance {
    fn from(span: Span) -> Self {
        Distance::Span(span)
    }
}

impl From<u64> for Distance {
    fn from(count: u64) -> Self {
        Distance::Count(count)
    }
}

impl From<f64> for Distance {
    fn from(x: f64) -> Self {
        Distance::Float(x)
    }
}

impl Frame {
    /// All rows of the partition.
    pub const WHOLE: Frame = Frame {
        units: FrameUnits::Rows,
        start: FrameBound::UnboundedPreceding,
        end: FrameBound::UnboundedFollowing,
    };

    /// From the first row to the current one and its peers: what SQL means where no frame is given.
    pub const RUNNING: Frame = Frame {
        units: FrameUnits::Range,
        start: FrameBound::UnboundedPreceding,
        end: FrameBound::CurrentRow,
    };

    /// Whether it measures how far values are apart.
    pub fn measures(&self) -> bool {
        self.units == FrameUnits::Range && self.distances().next().is_some()
    }

    fn distances(&self) -> impl Iterator<Item = Distance> {
        [self.start, self.end].into_iter().filter_map(|bound| match bound {
            FrameBound::Preceding(distance) | FrameBound::Following(distance) => Some(distance),
            _ => None,
        })
    }

    fn check(&self, order: &[(&str, &DataType)]) -> Result<(), SpecError> {
        let place = |bound| match bound {
            FrameBound::UnboundedPreceding => 0,
            FrameBound::Preceding(_) => 1,
            FrameBound::CurrentRow => 2,
            FrameBound::Following(_) => 3,
            FrameBound::UnboundedFollowing => 4,
        };
        if place(self.start) > place(self.end) || place(self.start) == 4 || place(self.end) == 0 {
            return invalid(format!("the frame {self} ends before it begins; name the earlier bound first"));
        }
        for distance in self.distances() {
            match (self.units, distance) {
                (_, Distance::Span(span)) if span < Span::ZERO => {
                    return invalid(format!(
                        "the frame {self} has a negative distance; use the other direction"
                    ));
                }
                (_, Distance::Float(x)) if !x.is_finite() || x < 0.0 => {
                    return invalid(format!("the frame {self} needs finite distances that are not negative"));
                }
                (FrameUnits::Rows, Distance::Count(_)) => {}
                (FrameUnits::Rows, _) => {
                    return invalid(format!(
                        "the frame {self} counts rows; its distances must be whole numbers"
                    ));
                }
                (FrameUnits::Range, _) => self.check_range(distance, order)?,
            }
        }
        Ok(())
    }

    fn check_range(&self, distance: Distance, order: &[(&str, &DataType)]) -> Result<(), SpecError> {
        let [(name, data_type)] = order else {
            let keys = order.len();
            return invalid(format!(
                "the frame {self} measures the distance of values, which takes exactly one sort key and not {keys}"
            ));
        };
        let time = matches!(data_type, DataType::Timestamp(..) | DataType::Date32) || *name == hidden::TIME;
        let float = matches!(data_type, DataType::Float32 | DataType::Float64);
        let fits = match distance {
            Distance::Span(_) => time,
            Distance::Count(_) => !time && (float || data_type.is_integer()),
            Distance::Float(_) => float,
        };
        if fits {
            return Ok(());
        }
        invalid(format!(
            "the frame {self} does not fit the sort key \"{name}\", which is {}; distances of times are spans, \
             those of numbers are numbers, and other values have none",
            type_name(data_type)
        ))
    }
}

impl OverSpec {
    /// How rows are put in order: by partition, `order` and `ties`.
    pub fn ranking(&self) -> RankSpec {
        let order = self.order.iter().chain(&self.ties).copied().collect();
        RankSpec { groups: self.partition.clone(), order, ..RankSpec::default() }
    }

    /// The columns that are added to rows of this schema.
    ///
    /// # Errors
    /// [`SpecError`] when a column is missing, cannot be a key, has no order or cannot be an argument, or
    /// a frame does not fit the order.
    pub fn result_fields(&self, input: &Schema) -> Result<Vec<Field>, SpecError> {
        for index in &self.partition {
            crate::group_by::check_key(OPERATOR, column(OPERATOR, input, *index)?)?;
        }
        let mut order = Vec::with_capacity(self.order.len());
        for key in self.order.iter().chain(&self.ties) {
            let field = column(OPERATOR, input, key.column)?;
            crate::sort_key::check_sortable(OPERATOR, field)?;
            order.push((field.name().as_str(), field.data_type()));
        }
        order.truncate(self.order.len());
        self.calls.iter().map(|call| call.result_field(input, &order)).collect()
    }
}

impl OverCall {
    fn result_field(&self, input: &Schema, order: &[(&str, &DataType)]) -> Result<Field, SpecError> {
        let number = || Ok(Field::new(&self.name, DataType::Int64, false));
        let value = |index: usize| {
            let field = column(OPERATOR, input, index)?;
            Ok(Field::new(&self.name, field.data_type().clone(), true))
        };
        if self.function.looks_at_the_frame() {
            self.frame.check(order)?;
        }
        match &self.function {
            OverFunction::RowNumber | OverFunction::Rank | OverFunction::DenseRank => number(),
            OverFunction::Lag(index, _) | OverFunction::Lead(index, _) => value(*index),
            OverFunction::FirstValue(index) | OverFunction::LastValue(index) => value(*index),
            OverFunction::Aggregate(spec) => {
                if spec.function.is_ordered() || matches!(spec.function, AggregateFunction::User(_)) {
                    return invalid(format!(
                        "{} as \"{}\" cannot be had over rows around; first_value and last_value can, and every \
                         built-in aggregate whose result does not depend on the order of rows",
                        spec.function, self.name
                    ));
                }
                for index in spec.arguments.iter().map(|argument| argument.column).chain(spec.filter) {
                    column(OPERATOR, input, index)?;
                }
                Ok(spec.result_field()?.with_name(&self.name))
            }
        }
    }
}

impl OverFunction {
    /// Its name in SQL.
    pub fn name(&self) -> &str {
        match self {
            OverFunction::RowNumber => "row_number",
            OverFunction::Rank => "rank",
            OverFunction::DenseRank => "dense_rank",
            OverFunction::Lag(..) => "lag",
            OverFunction::Lead(..) => "lead",
            OverFunction::FirstValue(_) => "first_value",
            OverFunction::LastValue(_) => "last_value",
            OverFunction::Aggregate(spec) => spec.function.name(),
        }
    }

    /// Whether its result depends on the frame.
    pub fn looks_at_the_frame(&self) -> bool {
        matches!(self, OverFunction::FirstValue(_) | OverFunction::LastValue(_) | OverFunction::Aggregate(_))
    }
}

fn invalid<T>(message: String) -> Result<T, SpecError> {
    Err(SpecError::Invalid { operator: OPERATOR, message })
}

/// `rows between 3 preceding and current row`.
impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = match self.units {
            FrameUnits::Rows => "rows",
            FrameUnits::Range => "range",
        };
        write!(f, "{units} between {} and {}", self.start, self.end)
    }
}

impl fmt::Display for FrameBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameBound::UnboundedPreceding => f.write_str("unbounded preceding"),
            FrameBound::Preceding(distance) => write!(f, "{distance} preceding"),
            FrameBound::CurrentRow => f.write_str("current row"),
            FrameBound::Following(distance) => write!(f, "{distance} following"),
            FrameBound::UnboundedFollowing => f.write_str("unbounded following"),
        }
    }
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Distance::Count(count) => count.fmt(f),
            Distance::Span(span) => span.fmt(f),
            Distance::Float(x) => x.fmt(f),
        }
    }
}
