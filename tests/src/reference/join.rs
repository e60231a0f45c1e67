//! Joins row by row: every right row with the keys of a left row is looked at.

use arrow::datatypes::{DataType, Schema, SchemaRef};
use sabot_expr::{Scalar, TypedExpr, interpret};
use sabot_ops::{Direction, JoinKind};
use sabot_plan::{Join, JoinOutputSource, PlanNode};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::row::to_batch;
use super::{Cell, Failure, Rank, Reference, Row, value};

/// One side: its rows, and what the join computes of each.
struct Side {
    rows: Vec<Row>,
    /// The keys of each row.
    keys: Vec<Vec<Cell>>,
    /// Their ranks; none for a row that equals nothing.
    ranks: Vec<Option<Vec<Rank>>>,
    /// The rows of each key, in order.
    by_key: BTreeMap<Vec<Rank>, Vec<usize>>,
    /// The time of each row, of an as-of join.
    times: Vec<Option<i64>>,
}

impl Side {
    fn new(schema: &SchemaRef, rows: Vec<Row>, keys: &[&TypedExpr], time: Option<&TypedExpr>) -> Self {
        let batch = to_batch(schema, &rows);
        let of = |expr: &TypedExpr, number: usize| value(expr, &batch, number, &rows[number]);
        let count = 0..rows.len();
        let keys: Vec<Vec<Cell>> =
            count.clone().map(|row| keys.iter().map(|key| of(key, row)).collect()).collect();
        let rank = |key: &Vec<Cell>| {
            let ranks: Vec<Rank> = key.iter().map(|cell| Rank::of(&cell.value)).collect();
            Some(ranks).filter(|ranks| !ranks.contains(&Rank::Null))
        };
        let ranks: Vec<Option<Vec<Rank>>> = keys.iter().map(rank).collect();
        let mut by_key: BTreeMap<Vec<Rank>, Vec<usize>> = BTreeMap::new();
        for (row, key) in ranks.iter().enumerate() {
            key.iter().for_each(|key| by_key.entry(key.clone()).or_default().push(row));
        }
        let instant = |row: usize| match of(time?, row).value {
            Scalar::Timestamp { value, .. } => Some(value),
            Scalar::Null(_) => None,
            other => panic!("{other:?} is no time"),
        };
        let times = count.map(instant).collect();
        Self { rows, keys, ranks, by_key, times }
    }
}

impl Reference<'_> {
    pub(super) fn join(&mut self, node: &PlanNode, join: &Join) -> Vec<Row> {
        let ordinal = self.next_ordinal() << 20;
        let schemas = [0, 1].map(|i| self.plan.nodes()[node.inputs[i]].properties.schema.clone());
        let mut right = self.rows[node.inputs[1]].clone();
        // The order of the right side is that in which an ordered sink would have it.
        right.sort_by(|a, b| a.place().cmp(&b.place()));
        let nearest = join.nearest.as_ref();
        let left_keys: Vec<&TypedExpr> = join.keys.iter().map(|key| &key.left).collect();
        let right_keys: Vec<&TypedExpr> = join.keys.iter().map(|key| &key.right).collect();
        let left = self.rows[node.inputs[0]].clone();
        let left = Side::new(&schemas[0], left, &left_keys, nearest.map(|n| &n.left));
        let right = Side::new(&schemas[1], right, &right_keys, nearest.map(|n| &n.right));

        // Where the result has no event time, that of the left row is a part of its key.
        let untimed = join.kind.keeps_build() && self.plan.nodes()[node.inputs[0]].properties.time.is_some();
        let key_of = |row: &Row| {
            let time = untimed.then(|| Rank::Integer(i128::from(row.place().0)));
            time.into_iter().chain(row.key.iter().cloned()).collect::<Vec<Rank>>()
        };
        let mut out = Vec::new();
        let mut matched = vec![false; right.rows.len()];
        for (number, row) in left.rows.iter().enumerate() {
            let mut matches = 0;
            for other in candidates(join, &left, number, &right) {
                match holds(join, &schemas, row, &right.rows[other]) {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err(error) => {
                        let (partition, number) = (row.partition, row.number);
                        self.outcome.failures.push(Failure { partition, number, error });
                        break;
                    }
                }
                matched[other] = true;
                if join.kind.gives_build() {
                    let mut key = key_of(row);
                    key.push(Rank::Integer(matches));
                    let cells = cells(node, join, Some((&left, number)), Some((&right, other)));
                    out.push(Row { cells, key, ..row.clone() });
                }
                matches += 1;
            }
            let alone = match join.kind {
                JoinKind::Semi => matches > 0,
                JoinKind::Left | JoinKind::Full | JoinKind::Anti => matches == 0,
                JoinKind::Inner | JoinKind::Right => false,
            };
            if alone {
                let mut key = key_of(row);
                if join.kind.gives_build() {
                    key.push(Rank::Integer(0));
                }
                out.push(Row { cells: cells(node, join, Some((&left, number)), None), key, ..row.clone() });
            }
        }
        if join.kind.keeps_build() {
            for (other, row) in right.rows.iter().enumerate().filter(|(other, _)| !matched[*other]) {
                let (time, partition, number, key) = row.place();
                let place = [i128::from(time), i128::from(partition), i128::from(number)];
                let key = place.into_iter().map(Rank::Integer).chain(key.iter().cloned()).collect();
                let cells = cells(node, join, None, Some((&right, other)));
                out.push(Row { cells, time: None, late: 0, partition: ordinal, number: 0, key });
            }
        }
        let timed = node.properties.time.is_some();
        out.into_iter()
            .map(|row| Row {
                time: row.time.filter(|_| timed),
                late: if timed { row.late } else { 0 },
                ..row
            })
            .collect()
    }
}

/// The right rows whose keys are those of a left row, in order; of an as-of join the nearest.
fn candidates(join: &Join, left: &Side, number: usize, right: &Side) -> Vec<usize> {
    let all = left.ranks[number].as_ref().and_then(|key| right.by_key.get(key)).cloned().unwrap_or_default();
    let Some(nearest) = &join.nearest else { return all };
    let Some(at) = left.times[number] else { return Vec::new() };
    let per_unit = match nearest.left.data_type() {
        DataType::Timestamp(arrow::datatypes::TimeUnit::Second, _) => 1_000_000_000,
        DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, _) => 1_000_000,
        DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, _) => 1_000,
        _ => 1i128,
    };
    let apart = |other: usize| {
        let there = right.times[other]?;
        let apart = match nearest.direction {
            Direction::Backward => i128::from(at) - i128::from(there),
            Direction::Forward => i128::from(there) - i128::from(at),
        };
        let limit = nearest.tolerance.map(|span| i128::from(span.micros()) * 1_000);
        (apart >= 0 && limit.is_none_or(|limit| apart * per_unit <= limit)).then_some(apart)
    };
    let near = all.into_iter().filter_map(|other| Some((apart(other)?, other)));
    let best = match nearest.direction {
        // Of several at one time the last, or the first.
        Direction::Backward => near.min_by_key(|(apart, other)| (*apart, std::cmp::Reverse(*other))),
        Direction::Forward => near.min_by_key(|(apart, other)| (*apart, *other)),
    };
    best.into_iter().map(|(_, other)| other).collect()
}

fn holds(
    join: &Join,
    schemas: &[SchemaRef; 2],
    left: &Row,
    right: &Row,
) -> Result<bool, sabot_expr::RowErrorKind> {
    let Some(condition) = &join.condition else { return Ok(true) };
    let fields = schemas[0].fields().iter().chain(schemas[1].fields()).cloned();
    let both: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let cells = left.cells.iter().chain(&right.cells).cloned().collect();
    let pair = to_batch(&both, &[Row { cells, ..left.clone() }]);
    let truth = interpret(condition, &pair, 0).map_err(|error| error.error)?;
    Ok(truth.as_bool() == Some(true))
}

fn cells(
    node: &PlanNode,
    join: &Join,
    left: Option<(&Side, usize)>,
    right: Option<(&Side, usize)>,
) -> Vec<Cell> {
    let columns = join.columns.iter().zip(node.properties.schema.fields());
    let cell = |(column, field): (&sabot_plan::JoinOutput, &arrow::datatypes::FieldRef)| {
        let found = match column.source {
            JoinOutputSource::Left(i) => left.map(|(side, row)| side.rows[row].cells[i].clone()),
            JoinOutputSource::Right(i) => right.map(|(side, row)| side.rows[row].cells[i].clone()),
            JoinOutputSource::Key(i) => left.or(right).map(|(side, row)| side.keys[row][i].clone()),
        };
        let plain = match field.data_type() {
            DataType::Dictionary(_, value) => value.as_ref().clone(),
            other => other.clone(),
        };
        found.unwrap_or_else(|| Scalar::Null(plain).into())
    };
    columns.map(cell).collect()
}
