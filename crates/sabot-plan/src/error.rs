//! What can be wrong with a plan.
//!
//! Each error is found while the plan is built, loaded or cut, before any row is read. Messages say
//! what was wrong, where, and what would be right.

use arrow::datatypes::DataType;
use sabot_common::Span;
use sabot_expr::{ExprError, type_name};
use sabot_ops::{JoinKind, SpecError};

/// Why a plan was refused.
///
/// ```
/// # use sabot_plan::{Plan, PlanError};
/// let error = Plan::from_sinks(&[]).unwrap_err();
/// assert_eq!(error, PlanError::NoSinks);
/// assert_eq!(error.to_string(), "the job has no sink; write at least one stream to somewhere");
/// ```
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// An expression that does not fit the operator's input: an unknown column, or types that do not go
    /// together.
    #[error("{}", expression(operator, error))]
    Expression {
        /// The operator.
        operator: String,
        /// What is wrong with it.
        error: Box<ExprError>,
    },
    /// A filter by something that is neither true nor false.
    #[error("filter: `{expression}` is {got}; a filter needs a boolean, such as a comparison")]
    PredicateType {
        /// The expression.
        expression: String,
        /// Name of its type.
        got: String,
    },
    /// The filter of an aggregate is no predicate.
    #[error("{operator}: the filter `{expression}` of \"{aggregate}\" is {got}; it must be a boolean")]
    AggregateFilter {
        /// The operator.
        operator: &'static str,
        /// The expression.
        expression: String,
        /// The aggregate's name.
        aggregate: String,
        /// Name of its type.
        got: String,
    },
    /// A key or an aggregate of a type that cannot be one.
    #[error("{error}")]
    Spec {
        /// What is wrong.
        error: Box<SpecError>,
    },
    /// Event time from a column that holds no time.
    #[error(
        "event_time: column \"{column}\" is {got}; it must be a timestamp or a date (cast it in the source's data, or declare another column)"
    )]
    EventTimeType {
        /// The column.
        column: String,
        /// Name of its type.
        got: String,
    },
    /// Event time declared elsewhere than directly on a source.
    #[error(
        "event_time(\"{column}\") follows {operator}; declare it directly on the source, before any other step, so that no row is dropped before its time is seen"
    )]
    EventTimeNotOnSource {
        /// The event-time column.
        column: String,
        /// What it was declared on.
        operator: String,
    },
    /// A length of time below zero.
    #[error("{operator}: {what} is {span}; it must not be negative")]
    NegativeSpan {
        /// The operator.
        operator: &'static str,
        /// Which length of time.
        what: &'static str,
        /// The value.
        span: Span,
    },
    /// A window over rows that have no event time.
    #[error(
        "window: {operator} has no event time; call event_time(column, out_of_orderness) on every source that feeds it, before any other step"
    )]
    WindowWithoutEventTime {
        /// The window's input.
        operator: String,
    },
    /// A group-by without a window whose result would never come.
    #[error(
        "group_by without a window gives its result when the input ends, but {source_name} never ends; put a window before the group_by"
    )]
    UnboundedAggregate {
        /// The unbounded source.
        source_name: String,
    },
    /// A ranking without a window whose result would never come.
    #[error("{call} gives its result when the input ends, but {source_name} never ends; {advice}")]
    UnboundedRanking {
        /// What was called: `sort`, `top_n`.
        call: &'static str,
        /// What would be right.
        advice: &'static str,
        /// The unbounded source.
        source_name: String,
    },
    /// Values over rows around rows that never end, which would wait for the end.
    #[error("{reason}; otherwise the values come when the input ends, but {source_name} never ends")]
    UnboundedOver {
        /// The unbounded source.
        source_name: String,
        /// Why they have to wait, and what would be right.
        reason: SpecError,
    },
    /// An order by nothing.
    #[error("{operator} by nothing; name at least one column or expression to sort by")]
    NoOrder {
        /// The operator.
        operator: &'static str,
    },
    /// An order by values that have none.
    #[error("{operator}: `{expression}` is {got}, whose values have no order; sort by a part of it instead")]
    SortType {
        /// The operator.
        operator: &'static str,
        /// The expression.
        expression: String,
        /// Name of its type.
        got: String,
    },
    /// A sink that needs all rows, over input that never ends.
    #[error(
        "{sink} waits for the end of its input, but {source_name} never ends; use to_channel, execute_stream, or write to a sink and start the job"
    )]
    UnboundedCollect {
        /// What was called: `collect`, `show`.
        sink: String,
        /// The unbounded source.
        source_name: String,
    },
    /// An ordered sink over rows that never end and of which nothing says when their order is known.
    #[error(
        "{sink} writes rows in order, but {source_name} never ends and declares no event time, so that nothing says when a row's turn has come; declare event_time on it, or write to to_channel or to a folder (a path that ends in /), which take rows as they come"
    )]
    UnorderedForEver {
        /// The sink.
        sink: String,
        /// The unbounded source.
        source_name: String,
    },
    /// Rows with kinds into an operator or a sink that takes appended rows alone.
    #[error(
        "{operator} takes appended rows only, but {source_name} also brings updates and deletes; no operator here turns those into appended rows"
    )]
    ChangesRefused {
        /// The operator or sink.
        operator: String,
        /// Where the row kinds come from.
        source_name: String,
    },
    /// Late rows of something that sets none aside.
    #[error(
        "late rows: {operator} has no window, so no row can be late for it; take the late rows of a windowed aggregation, \
         or of values over rows before"
    )]
    LateRowsWithoutWindow {
        /// The operator.
        operator: String,
    },
    /// A union of streams with different columns.
    #[error(
        "union: {difference}; both sides must have the same columns in the same order (use select, alias or cast)"
    )]
    UnionSchemas {
        /// The first difference.
        difference: String,
    },
    /// Names that stand on both sides of a join.
    #[error(
        "{operator}: {} on both sides; name the right one differently with suffix(\"_right\") behind on(…), or with select and alias before the join",
        both_sides(columns)
    )]
    AmbiguousColumns {
        /// The operator.
        operator: String,
        /// The names.
        columns: Vec<String>,
    },
    /// Keys, or times, of a join that cannot be compared.
    #[error(
        "{operator}: `{left}` is {left_type} and `{right}` is {right_type}, which have no common type; cast one of them"
    )]
    JoinTypes {
        /// The operator.
        operator: String,
        /// The left expression.
        left: String,
        /// Name of its type.
        left_type: String,
        /// The right expression.
        right: String,
        /// Name of its type.
        right_type: String,
    },
    /// Times of an as-of join that are none, or cannot be compared.
    #[error(
        "{operator}: `{left}` is {left_type} and `{right}` is {right_type}; the two times must be timestamps or dates, both with a zone or both without"
    )]
    JoinTimes {
        /// The operator.
        operator: String,
        /// The left expression.
        left: String,
        /// Name of its type.
        left_type: String,
        /// The right expression.
        right: String,
        /// Name of its type.
        right_type: String,
    },
    /// Something else than a column where only a column can stand.
    #[error(
        "{operator}: `{expression}` is not a column of the right side; compute it there with with_columns and name the result"
    )]
    NoColumn {
        /// The operator.
        operator: String,
        /// The expression.
        expression: String,
    },
    /// Elements of something that has none.
    #[error("unnest: column \"{column}\" is {}, which has no elements; it must be a list", type_name(got))]
    NoList {
        /// The column.
        column: String,
        /// Its type.
        got: DataType,
    },
    /// An option of a join that this kind of join does not have.
    #[error("{operator}: {option} is not for this join; use {instead}")]
    JoinOption {
        /// The operator.
        operator: String,
        /// The option as it was written.
        option: String,
        /// What has it.
        instead: &'static str,
    },
    /// A right side that never ends.
    #[error("{}", unbounded_build_side(operator, right, left.as_deref()))]
    UnboundedBuildSide {
        /// The operator.
        operator: String,
        /// The right side's source.
        right: String,
        /// The left side's source, where it never ends either.
        left: Option<String>,
    },
    /// A right or full join whose left side never ends.
    #[error(
        "{operator}: a {kind} join gives the right rows that match nothing when the left side ends, but {left} never ends; use an inner or a left join"
    )]
    UnboundedOuterJoin {
        /// The operator.
        operator: String,
        /// The kind of join.
        kind: JoinKind,
        /// The left side's source.
        left: String,
    },
    /// Two columns with one name.
    #[error("{operator}: two columns are named \"{name}\"; give one of them another name with alias")]
    DuplicateColumn {
        /// The operator.
        operator: String,
        /// The name.
        name: String,
    },
    /// A user's column whose name belongs to the engine.
    #[error(
        "{operator}: column \"{name}\" starts with \"{}\", which is kept for the engine; give it another name",
        sabot_batch::hidden::PREFIX
    )]
    ReservedColumn {
        /// The operator.
        operator: String,
        /// The name.
        name: String,
    },
    /// A column of a type that Sabot does not know.
    #[error(
        "{operator}: column \"{column}\" is {data_type}, which is not supported; supported types: {}",
        sabot_expr::types::SUPPORTED_TYPES
    )]
    UnsupportedType {
        /// The operator.
        operator: String,
        /// The column.
        column: String,
        /// Name of the type.
        data_type: String,
    },
    /// No column at all.
    #[error("{operator}: no column is left; name at least one")]
    NoColumns {
        /// The operator.
        operator: String,
    },
    /// An empty name for an operator.
    #[error("{kind}: an operator's name must not be empty")]
    EmptyName {
        /// What was to be named.
        kind: &'static str,
    },
    /// Two different operators with one name.
    #[error(
        "two operators are named \"{name}\": a {first} and a {second} that is not the same; every operator needs a name of its own"
    )]
    DuplicateOperatorName {
        /// The name.
        name: String,
        /// Kind of the first.
        first: &'static str,
        /// Kind of the second.
        second: &'static str,
    },
    /// A plan that writes nothing.
    #[error("the job has no sink; write at least one stream to somewhere")]
    NoSinks,
    /// Something that is not a sink where one is needed, or a step after a sink.
    #[error("{operator} {problem}")]
    SinkExpected {
        /// The operator.
        operator: String,
        /// What is wrong, in words.
        problem: &'static str,
    },
    /// A source that can be read once, wanted by a second job.
    #[error(
        "source {source_name} can be read only once and is already claimed by another job, collect or show; put both sinks into one job"
    )]
    SourceClaimed {
        /// The source.
        source_name: String,
    },
    /// A source that can be read once, wanted twice within one plan.
    #[error(
        "source {source_name} can be read only once, but is wanted {readings}; declare event_time once and continue from that stream everywhere"
    )]
    ReadTwice {
        /// The source.
        source_name: String,
        /// In which ways.
        readings: String,
    },
    /// A stored plan of a format that this version does not know.
    #[error(
        "the plan has format version {found}; this build reads versions 1 to {known}, so it needs a newer one"
    )]
    UnknownFormat {
        /// The version found.
        found: u32,
        /// The newest known version.
        known: u32,
    },
    /// A stored plan that contradicts itself.
    #[error("stored plan, operator {operator}: {message}")]
    Corrupt {
        /// The operator.
        operator: String,
        /// What does not fit.
        message: String,
    },
    /// More sources and keyed operators than their numbers have room for.
    #[error("{count} sources and keyed operators in one plan; at most {limit} are allowed")]
    TooManyOrdinals {
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
}

impl PlanError {
    pub(crate) fn expression(operator: &str, error: ExprError) -> Self {
        Self::Expression { operator: operator.to_owned(), error: Box::new(error.in_context(operator)) }
    }
}

impl From<SpecError> for PlanError {
    fn from(error: SpecError) -> Self {
        match error {
            SpecError::DuplicateName { operator, name } => {
                PlanError::DuplicateColumn { operator: operator.to_owned(), name }
            }
            other => PlanError::Spec { error: Box::new(other) },
        }
    }
}

fn both_sides(columns: &[String]) -> String {
    match columns {
        [one] => format!("column \"{one}\" is"),
        several => format!("columns {} are", sabot_common::list_names(several.iter().map(String::as_str))),
    }
}

fn unbounded_build_side(operator: &str, right: &str, left: Option<&str>) -> String {
    let problem = format!(
        "{operator}: the right side is loaded whole before the first row of the left one is joined, but {right} never ends"
    );
    match left {
        None => format!("{problem}; exchange the two sides, because the left one ends"),
        Some(left) => format!(
            "{problem}, and neither does {left}; make the right side a table (a file, batches, any source that ends): two streams without end cannot be joined"
        ),
    }
}

/// Messages about columns say the operator themselves.
fn expression(operator: &str, error: &ExprError) -> String {
    match error {
        ExprError::UnknownColumn { .. } => error.to_string(),
        other => format!("{operator}: {other}"),
    }
}
