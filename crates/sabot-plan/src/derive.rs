//! What is known of a node's rows, from its kind and its inputs; and every check of how they fit.
//!
//! The builder makes nodes through here, and so does the loader of stored plans: a plan that was
//! changed by hand is held to the same rules as one that is typed in.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use sabot_batch::hidden;
use sabot_common::Span;
use sabot_expr::{ExprError, TypedExpr, type_name};
use sabot_ops::{AggregateSpec, FilterProjectSpec, GroupByMode, GroupBySpec, Projection, SpecError};
use sabot_time::Windows;
use std::collections::HashSet;
use std::sync::Arc;

use crate::node::zone_of;
use crate::over::derive_over;
use crate::predict::derive_predict;
use crate::rank::derive_ranking;
use crate::unnest::derive_unnest;
use crate::{
    Aggregation, Boundedness, ChangeMode, KeyedWindow, NodeKind, NodeRef, PlanError, Properties,
    TimeAttribute,
};

/// The result column that holds the first instant of a window.
pub const WINDOW_START: &str = "window_start";
/// The result column that holds the first instant after a window.
pub const WINDOW_END: &str = "window_end";

/// The properties of a node of this kind over these inputs.
pub(crate) fn derive(kind: &NodeKind, inputs: &[NodeRef]) -> Result<Properties, PlanError> {
    if let Some(sink) = inputs.iter().find(|i| matches!(i.kind(), NodeKind::Sink { .. })) {
        return Err(PlanError::SinkExpected {
            operator: sink.describe(),
            problem: "is a sink; nothing can follow it",
        });
    }
    match (kind, inputs) {
        (NodeKind::Source { schema, boundedness, changes, connector, grows, .. }, []) => {
            let operator = format!("source {connector}");
            check_schema(&operator, schema)?;
            if *grows && *boundedness == Boundedness::Bounded {
                let message = "partitions may come, and there is a last row; only one of these can be".into();
                return Err(PlanError::Corrupt { operator, message });
            }
            Ok(Properties {
                schema: schema.clone(),
                time: None,
                boundedness: *boundedness,
                upsert_key: None,
                accepts: ChangeMode::AppendOnly,
                produces: *changes,
                order_sensitive: false,
            })
        }
        (NodeKind::EventTime { column, out_of_orderness, .. }, [input]) => {
            event_time(column, *out_of_orderness, input)
        }
        (NodeKind::FilterProject { predicate, projections }, [input]) => {
            filter_project(kind.name(), predicate.as_ref(), projections, input)
        }
        (NodeKind::Aggregate { window, keys, aggregates, .. }, [input]) => {
            aggregate(window.as_ref(), keys, aggregates, input)
        }
        (NodeKind::Rank(ranking), [input]) => derive_ranking(ranking, input),
        (NodeKind::Over(over), [input]) => derive_over(over, input),
        (NodeKind::LateRows, [input]) => late_rows(input),
        (NodeKind::Join(join), [left, right]) => crate::join::derive(join, left, right),
        (NodeKind::Union, [first, rest @ ..]) if !rest.is_empty() => union(first, rest),
        (NodeKind::Unnest(unnest), [input]) => derive_unnest(unnest, input),
        (NodeKind::Predict(spec), [input]) => derive_predict(spec, input),
        (NodeKind::MapBatches { schema, .. }, [input]) => {
            check_schema(kind.name(), schema)?;
            refuse_changes(kind.name(), input)?;
            // The function may write anything into a column, so only the hidden event time is certain.
            let time = input.properties().time.clone().map(|time| TimeAttribute { column: None, ..time });
            Ok(Properties { schema: schema.clone(), time, upsert_key: None, ..append_only(input) })
        }
        (NodeKind::Sink { ordered, accepts, collects, .. }, [input]) => {
            sink(kind, *ordered, *accepts, collects.as_deref(), input)
        }
        _ => Err(PlanError::Corrupt {
            operator: kind.name().to_owned(),
            message: format!("{} inputs; that is not the number it takes", inputs.len()),
        }),
    }
}

/// The input's properties, for an operator that takes and gives inserts alone.
pub(crate) fn append_only(input: &NodeRef) -> Properties {
    Properties {
        accepts: ChangeMode::AppendOnly,
        produces: ChangeMode::AppendOnly,
        order_sensitive: false,
        ..input.properties().clone()
    }
}

fn event_time(column: &str, out_of_orderness: Span, input: &NodeRef) -> Result<Properties, PlanError> {
    if !matches!(input.kind(), NodeKind::Source { .. }) {
        return Err(PlanError::EventTimeNotOnSource {
            column: column.to_owned(),
            operator: input.describe(),
        });
    }
    not_negative("event_time", "out_of_orderness", out_of_orderness)?;
    let Ok(field) = input.schema().field_with_name(column) else {
        let names = input.schema().fields().iter().map(|f| f.name().as_str());
        return Err(PlanError::expression("event_time", ExprError::unknown_column(column, names)));
    };
    if !matches!(field.data_type(), DataType::Timestamp(..) | DataType::Date32) {
        return Err(PlanError::EventTimeType {
            column: column.to_owned(),
            got: type_name(field.data_type()),
        });
    }
    let time = Some(TimeAttribute { column: Some(column.to_owned()), zone: zone_of(field.data_type()) });
    let properties = input.properties().clone();
    Ok(Properties { time, accepts: ChangeMode::Changelog, ..properties })
}

fn filter_project(
    operator: &str,
    predicate: Option<&TypedExpr>,
    projections: &[Projection],
    input: &NodeRef,
) -> Result<Properties, PlanError> {
    if projections.is_empty() {
        return Err(PlanError::NoColumns { operator: operator.to_owned() });
    }
    check_names(operator, projections.iter().map(|p| p.name.as_str()))?;
    if let Some(predicate) = predicate
        && predicate.data_type() != &DataType::Boolean
    {
        let (expression, got) = (predicate.to_string(), type_name(predicate.data_type()));
        return Err(PlanError::PredicateType { expression, got });
    }
    let spec = FilterProjectSpec {
        predicate: predicate.cloned(),
        projections: projections.to_vec(),
        carried: Vec::new(),
    };
    let schema = spec.output_schema(input.schema())?;
    // A column goes on under the first name that it is passed through as.
    let new_name = |name: &str| {
        let index = input.schema().index_of(name).ok()?;
        projections.iter().find(|p| p.expr.as_column() == Some(index)).map(|p| p.name.clone())
    };
    let properties = input.properties().clone();
    let time = properties
        .time
        .map(|time| TimeAttribute { column: time.column.as_deref().and_then(new_name), ..time });
    let upsert_key = properties.upsert_key.and_then(|key| key.iter().map(|name| new_name(name)).collect());
    Ok(Properties {
        schema,
        time,
        upsert_key,
        accepts: ChangeMode::Changelog,
        produces: properties.produces,
        boundedness: properties.boundedness,
        order_sensitive: false,
    })
}

fn aggregate(
    window: Option<&KeyedWindow>,
    keys: &[Projection],
    aggregates: &[Aggregation],
    input: &NodeRef,
) -> Result<Properties, PlanError> {
    refuse_changes("aggregate", input)?;
    check_window(window, input)?;
    if keys.is_empty() && aggregates.is_empty() {
        return Err(PlanError::NoColumns { operator: "aggregate".to_owned() });
    }
    let values = aggregate_fields(keys, aggregates, input.schema())?;
    let zone = input.properties().time.as_ref().and_then(|time| time.zone.clone());
    let bounds = window.map(|_| window_fields(zone.clone())).into_iter().flatten();
    let schema = Schema::new(bounds.chain(values).collect::<Vec<_>>());
    check_names("aggregate", schema.fields().iter().map(|f| f.name().as_str()))?;
    let bounds = window.map_or(Some(&[][..]), |window| naming_bounds(&window.window));
    let names = bounds.map(|bounds| bounds.iter().map(|name| (*name).to_owned()));
    Ok(Properties {
        schema: schema.into(),
        // A window's result has the time of the last instant that it covers; no column shows that one.
        time: window.map(|_| TimeAttribute { column: None, zone }),
        upsert_key: names.map(|names| names.chain(keys.iter().map(|key| key.name.clone())).collect()),
        ..append_only(input)
    })
}

/// The columns of a window's bounds that tell it from every other window of a key; none where two
/// windows of a key may have the same bounds.
fn naming_bounds(windows: &Windows) -> Option<&'static [&'static str]> {
    match windows {
        // They start together.
        Windows::Cumulate(_) => Some(&[WINDOW_START, WINDOW_END]),
        // Any number of rows may have one time.
        Windows::Count(_) => None,
        _ => Some(&[WINDOW_START]),
    }
}

/// Whether rows of `input` can be put into windows; without a window, whether they end.
pub(crate) fn check_window(window: Option<&KeyedWindow>, input: &NodeRef) -> Result<(), PlanError> {
    match window {
        Some(window) => {
            not_negative("window", "allowed_lateness", window.allowed_lateness)?;
            if input.properties().time.is_none() {
                return Err(PlanError::WindowWithoutEventTime { operator: input.describe() });
            }
        }
        None => {
            if let Some(source_name) = unbounded_source(input) {
                return Err(PlanError::UnboundedAggregate { source_name });
            }
        }
    }
    Ok(())
}

/// The columns that show a window's bounds.
fn window_fields(zone: Option<Arc<str>>) -> [Field; 2] {
    let data_type = DataType::Timestamp(TimeUnit::Microsecond, zone);
    [WINDOW_START, WINDOW_END].map(|name| Field::new(name, data_type.clone(), false))
}

/// The fields of keys and results; refuses types that cannot be keys or arguments.
fn aggregate_fields(
    keys: &[Projection],
    aggregates: &[Aggregation],
    input: &SchemaRef,
) -> Result<Vec<Field>, PlanError> {
    let of_aggregates = aggregates.iter().flat_map(Aggregation::exprs);
    for expr in keys.iter().map(|key| &key.expr).chain(of_aggregates) {
        check_columns("aggregate", expr, input)?;
    }
    aggregates.iter().try_for_each(|aggregate| check_filter("aggregate", aggregate))?;
    let specs: Vec<AggregateSpec> = aggregates.iter().map(aggregate_spec).collect();
    let results = specs.iter().map(AggregateSpec::result_field).collect::<Result<Vec<_>, _>>()?;
    // Names are checked on the result; here they only must not get in each other's way.
    let key_fields: Vec<Field> = keys
        .iter()
        .enumerate()
        .map(|(i, key)| Field::new(i.to_string(), key.expr.data_type().clone(), key.expr.nullable()))
        .collect();
    let group = GroupBySpec {
        keys: (0..keys.len()).collect(),
        hashed: (0..keys.len()).collect(),
        seed: 0,
        aggregates: Vec::new(),
        mode: GroupByMode::Partial,
    };
    let hashed = group.output_schema(&Arc::new(Schema::new(key_fields))).map_err(|e| name_key(e, keys))?;
    let mut fields: Vec<Field> = keys
        .iter()
        .zip(hashed.fields())
        .map(|(key, field)| Field::new(&key.name, field.data_type().clone(), field.is_nullable()))
        .collect();
    fields.extend(results);
    Ok(fields)
}

/// Checks that expressions fit the input and can be keys of this operator.
pub(crate) fn check_keys(
    operator: &'static str,
    keys: &[Projection],
    input: &SchemaRef,
) -> Result<(), PlanError> {
    keys.iter().try_for_each(|key| check_columns(operator, &key.expr, input))?;
    let under_our_name = |error: PlanError| match error {
        PlanError::Spec { error } => match *error {
            SpecError::ColumnType { role, column, got, expected, .. } => {
                SpecError::ColumnType { operator, role, column, got, expected }.into()
            }
            other => other.into(),
        },
        other => other,
    };
    aggregate_fields(keys, &[], input).map(|_| ()).map_err(under_our_name)
}

/// Puts the key's own name into an error about the key at a position.
fn name_key(error: SpecError, keys: &[Projection]) -> SpecError {
    match error {
        SpecError::ColumnType { operator, role, column, got, expected } => {
            let key = column.parse::<usize>().ok().and_then(|i| keys.get(i));
            let column = key.map_or(column, |key| key.name.clone());
            SpecError::ColumnType { operator, role, column, got, expected }
        }
        other => other,
    }
}

pub(crate) fn check_filter(operator: &'static str, aggregate: &Aggregation) -> Result<(), PlanError> {
    match &aggregate.filter {
        Some(filter) if filter.data_type() != &DataType::Boolean => Err(PlanError::AggregateFilter {
            operator,
            expression: filter.to_string(),
            aggregate: aggregate.name.clone(),
            got: type_name(filter.data_type()),
        }),
        _ => Ok(()),
    }
}

/// The aggregate as an operator spec over all rows, for its fields: which columns it reads is left open.
pub(crate) fn aggregate_spec(aggregation: &Aggregation) -> AggregateSpec {
    let arguments = aggregation.arguments.iter().map(|expr| (0, expr.data_type().clone()));
    AggregateSpec::new(aggregation.function.clone(), arguments, aggregation.name.clone())
}

fn late_rows(input: &NodeRef) -> Result<Properties, PlanError> {
    let refused = || PlanError::LateRowsWithoutWindow { operator: input.describe() };
    let [rows] = input.inputs() else { return Err(refused()) };
    match input.kind() {
        NodeKind::Aggregate { window: Some(_), .. } => {}
        NodeKind::Over(over) if over.rolls => {}
        _ => return Err(refused()),
    }
    Ok(Properties { upsert_key: None, ..append_only(rows) })
}

fn union(first: &NodeRef, rest: &[NodeRef]) -> Result<Properties, PlanError> {
    let mut fields: Vec<Field> = first.schema().fields().iter().map(|f| f.as_ref().clone()).collect();
    let mut properties =
        Properties { upsert_key: None, order_sensitive: false, ..first.properties().clone() };
    for other in rest {
        if let Some(difference) = schema_difference(first.schema(), other.schema()) {
            return Err(PlanError::UnionSchemas { difference });
        }
        for (field, theirs) in fields.iter_mut().zip(other.schema().fields()) {
            field.set_nullable(field.is_nullable() || theirs.is_nullable());
        }
        let theirs = other.properties();
        properties.time = common_time(properties.time, theirs.time.as_ref());
        properties.produces = properties.produces.max(theirs.produces);
        if theirs.boundedness == Boundedness::Unbounded {
            properties.boundedness = Boundedness::Unbounded;
        }
    }
    Ok(Properties { schema: Schema::new(fields).into(), accepts: ChangeMode::Changelog, ..properties })
}

/// The time attribute of rows of two streams: what both have in common.
fn common_time(ours: Option<TimeAttribute>, theirs: Option<&TimeAttribute>) -> Option<TimeAttribute> {
    let (ours, theirs) = (ours?, theirs?);
    Some(TimeAttribute {
        column: ours.column.filter(|column| Some(column) == theirs.column.as_ref()),
        zone: ours.zone.filter(|zone| Some(zone) == theirs.zone.as_ref()),
    })
}

/// The first way in which two schemas differ, nullability apart.
fn schema_difference(left: &Schema, right: &Schema) -> Option<String> {
    for (i, (l, r)) in left.fields().iter().zip(right.fields()).enumerate() {
        if l.name() != r.name() {
            let (place, left, right) = (i + 1, l.name(), r.name());
            return Some(format!("column {place} is \"{left}\" on one side and \"{right}\" on the other"));
        }
        if l.data_type() != r.data_type() {
            let (left, right) = (type_name(l.data_type()), type_name(r.data_type()));
            return Some(format!("column \"{}\" is {left} on one side and {right} on the other", l.name()));
        }
    }
    let (longer, shorter) =
        if left.fields().len() > right.fields().len() { (left, right) } else { (right, left) };
    let extra = longer.fields().get(shorter.fields().len())?;
    Some(format!("column \"{}\" is on one side only", extra.name()))
}

fn sink(
    kind: &NodeKind,
    ordered: bool,
    accepts: ChangeMode,
    collects: Option<&str>,
    input: &NodeRef,
) -> Result<Properties, PlanError> {
    let NodeKind::Sink { connector, .. } = kind else { return Ok(input.properties().clone()) };
    let name = collects.map_or_else(|| format!("sink {connector}"), str::to_owned);
    if accepts == ChangeMode::AppendOnly {
        refuse_changes(&name, input)?;
    }
    if let Some(source_name) = unbounded_source(input) {
        if collects.is_some() {
            return Err(PlanError::UnboundedCollect { sink: name, source_name });
        }
        if ordered && input.properties().time.is_none() {
            return Err(PlanError::UnorderedForEver { sink: name, source_name });
        }
    }
    Ok(Properties { accepts, order_sensitive: ordered, ..input.properties().clone() })
}

pub(crate) fn unbounded_source(input: &NodeRef) -> Option<String> {
    if input.properties().boundedness == Boundedness::Bounded {
        return None;
    }
    let unbounded =
        |kind: &NodeKind| matches!(kind, NodeKind::Source { boundedness: Boundedness::Unbounded, .. });
    Some(input.find_source(unbounded).unwrap_or_else(|| input.clone()).describe())
}

pub(crate) fn refuse_changes(operator: &str, input: &NodeRef) -> Result<(), PlanError> {
    if input.properties().produces == ChangeMode::AppendOnly {
        return Ok(());
    }
    let changelog = |kind: &NodeKind| matches!(kind, NodeKind::Source { changes: ChangeMode::Changelog, .. });
    let source_name = input.find_source(changelog).unwrap_or_else(|| input.clone()).describe();
    Err(PlanError::ChangesRefused { operator: operator.to_owned(), source_name })
}

pub(crate) fn not_negative(operator: &'static str, what: &'static str, span: Span) -> Result<(), PlanError> {
    if span < Span::ZERO { Err(PlanError::NegativeSpan { operator, what, span }) } else { Ok(()) }
}

/// Checks columns that come from outside: their types, and their names.
fn check_schema(operator: &str, schema: &Schema) -> Result<(), PlanError> {
    if schema.fields().is_empty() {
        return Err(PlanError::NoColumns { operator: operator.to_owned() });
    }
    for field in schema.fields() {
        if !sabot_expr::types::is_supported(field.data_type()) {
            return Err(PlanError::UnsupportedType {
                operator: operator.to_owned(),
                column: field.name().clone(),
                data_type: type_name(field.data_type()),
            });
        }
    }
    check_names(operator, schema.fields().iter().map(|f| f.name().as_str()))
}

/// Checks that names are the user's to give, and that each is given once.
pub(crate) fn check_names<'a>(operator: &str, names: impl Iterator<Item = &'a str>) -> Result<(), PlanError> {
    let mut seen = HashSet::new();
    for name in names {
        if hidden::is_hidden(name) {
            return Err(PlanError::ReservedColumn { operator: operator.to_owned(), name: name.to_owned() });
        }
        if !seen.insert(name) {
            return Err(PlanError::DuplicateColumn { operator: operator.to_owned(), name: name.to_owned() });
        }
    }
    Ok(())
}

/// Checks that every column that an expression reads is there and of the type it was resolved with:
/// always so when it was just resolved, to be shown when it was loaded.
pub(crate) fn check_columns(operator: &str, expr: &TypedExpr, schema: &SchemaRef) -> Result<(), PlanError> {
    let projections = vec![Projection { name: operator.to_owned(), expr: expr.clone() }];
    FilterProjectSpec { predicate: None, projections, carried: Vec::new() }.output_schema(schema)?;
    Ok(())
}
