//! The whole pipeline, slowly: one thread, one row at a time, plain collections, 128-bit sums.
//!
//! It walks the logical plan and knows nothing of morsels, fragments, queues, key groups, partial state
//! or watermarks. What it shares with the engine is the plan itself and the expression interpreter,
//! which is the oracle for expressions anyway. Everything else is written from the definitions: which
//! rows are late, which window a row lies in, what an aggregate of some values is, in which order results
//! stand. Where the engine and this module differ, one of them is wrong, and this one is short.

mod aggregate;
mod join;
mod over;
mod predict;
mod rank;
mod row;
mod unnest;

pub use row::{Cell, Rank, Row, cells};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow::record_batch::RecordBatch;
use sabot_exec::BatchFunction;
use sabot_expr::{RowErrorKind, Scalar, TypedExpr, interpret};
use sabot_ops::Projection;
use sabot_plan::{Aggregation, Connector, KeyedWindow, NodeKind, Plan, PlanNode};
use std::collections::BTreeMap;

use aggregate::{Bounds, Taken, aggregate, windows};
use row::{canonical, to_batch};

/// Partitions of a source, each a list of batches.
pub type Partitions = Vec<Vec<RecordBatch>>;

/// What the slots of a plan stand for.
#[derive(Clone, Default)]
pub struct Inputs {
    /// Rows of sources.
    pub sources: BTreeMap<String, Partitions>,
    /// Functions over batches. Each is called with one row at a time and must return one row.
    pub functions: BTreeMap<String, BatchFunction>,
}

/// What a plan comes to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The rows that each sink gets, in the order of the sinks in the plan. Those of ordered sinks are in
    /// order.
    pub sinks: Vec<Vec<Row>>,
    /// Rows that came too late, over all windows.
    pub late_rows: u64,
    /// Rows that could not be computed. When there are some the job must fail with one of them.
    pub failures: Vec<Failure>,
}

/// A row that cannot be computed.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The row's source partition.
    pub partition: u64,
    /// Its number there.
    pub number: u64,
    /// What is wrong with it.
    pub error: RowErrorKind,
}

/// Runs a plan.
pub fn run(plan: &Plan, inputs: &Inputs) -> Outcome {
    let mut reference = Reference {
        plan,
        inputs,
        ordinals: 0,
        rows: Vec::with_capacity(plan.nodes().len()),
        late: vec![Vec::new(); plan.nodes().len()],
        outcome: Outcome::default(),
    };
    for index in 0..plan.nodes().len() {
        let rows = reference.node(index);
        reference.rows.push(rows);
    }
    reference.outcome
}

struct Reference<'a> {
    plan: &'a Plan,
    inputs: &'a Inputs,
    /// Sources and keyed operators are numbered as they stand in the plan; the number is part of the order.
    ordinals: u64,
    /// What each node gives.
    rows: Vec<Vec<Row>>,
    /// What came too late for each aggregation.
    late: Vec<Vec<Row>>,
    outcome: Outcome,
}

impl Reference<'_> {
    fn node(&mut self, index: usize) -> Vec<Row> {
        let plan = self.plan;
        let node = &plan.nodes()[index];
        match &node.kind {
            NodeKind::Source { connector, .. } => self.source(index, connector),
            NodeKind::EventTime { column, out_of_orderness, .. } => {
                let NodeKind::Source { connector, .. } = &plan.nodes()[node.inputs[0]].kind else {
                    panic!("event time stands on a source")
                };
                self.timed_source(connector, column, out_of_orderness.micros())
            }
            NodeKind::FilterProject { predicate, projections } => {
                self.filter_project(node.inputs[0], predicate.as_ref(), projections)
            }
            NodeKind::Aggregate { window, keys, aggregates, .. } => {
                self.aggregate(index, window.as_ref(), keys, aggregates)
            }
            NodeKind::Rank(ranking) => {
                let ordinal = self.next_ordinal() << 20;
                let rows = &self.rows[node.inputs[0]];
                let batch = to_batch(&plan.nodes()[node.inputs[0]].properties.schema, rows);
                rank::rank(ranking, &batch, rows, ordinal)
            }
            NodeKind::Over(over) => {
                let rows = self.rows[node.inputs[0]].clone();
                let (late, rows): (Vec<Row>, Vec<Row>) =
                    rows.into_iter().partition(|row| over.rolls && row.late > 0);
                self.outcome.late_rows += late.len() as u64;
                self.late[index] = late;
                let batch = to_batch(&plan.nodes()[node.inputs[0]].properties.schema, &rows);
                over::over(over, &batch, &rows)
            }
            NodeKind::LateRows => self.late[node.inputs[0]].clone(),
            NodeKind::Join(join) => self.join(node, join),
            NodeKind::Union => {
                let timed = node.properties.time.is_some();
                let rows = node.inputs.iter().flat_map(|input| self.rows[*input].clone());
                rows.map(|row| Row { time: row.time.filter(|_| timed), ..row }).collect()
            }
            NodeKind::Unnest(unnest) => unnest::unnest(unnest, &self.rows[node.inputs[0]]),
            NodeKind::Predict(spec) => {
                let rows = &self.rows[node.inputs[0]];
                let batch = to_batch(&plan.nodes()[node.inputs[0]].properties.schema, rows);
                predict::predict(spec, &batch, rows)
            }
            NodeKind::MapBatches { slot, .. } => self.map_batches(node, slot),
            NodeKind::Sink { ordered, .. } => {
                let mut rows = self.rows[node.inputs[0]].clone();
                if *ordered {
                    // Rows that are equal in all of it keep their order: that of a union's inputs.
                    rows.sort_by(|a, b| a.place().cmp(&b.place()));
                }
                self.outcome.sinks.push(rows);
                Vec::new()
            }
        }
    }

    fn next_ordinal(&mut self) -> u64 {
        self.ordinals += 1;
        self.ordinals - 1
    }

    fn source(&mut self, index: usize, connector: &Connector) -> Vec<Row> {
        let readers = &self.plan.consumers()[index];
        let timed = |reader: &usize| matches!(self.plan.nodes()[*reader].kind, NodeKind::EventTime { .. });
        match readers.iter().all(timed) {
            true => Vec::new(),
            false => self.read(connector, |_, _| Vec::new()),
        }
    }

    fn timed_source(&mut self, connector: &Connector, column: &str, out_of_orderness: i64) -> Vec<Row> {
        let mut rows = self
            .read(connector, |batch, _| micros(batch.column_by_name(column).expect("the column is there")));
        let mut running: BTreeMap<u64, i64> = BTreeMap::new();
        for row in &mut rows {
            let time = row.time.expect("every row has an event time");
            let max = running.entry(row.partition).or_insert(time);
            *max = (*max).max(time);
            row.late = (*max - time - out_of_orderness).max(0);
        }
        rows
    }

    fn read(&mut self, connector: &Connector, times: impl Fn(&RecordBatch, usize) -> Vec<i64>) -> Vec<Row> {
        let ordinal = self.next_ordinal();
        let Connector::Slot(slot) = connector else {
            panic!("the reference reads memory only, not {connector}")
        };
        let partitions = self.inputs.sources.get(slot).unwrap_or_else(|| panic!("no rows for slot {slot}"));
        let mut rows = Vec::new();
        for (partition, batches) in partitions.iter().enumerate() {
            let mut number = 0;
            for batch in batches {
                let times = times(batch, partition);
                for (row, cells) in cells(batch).into_iter().enumerate() {
                    let time = times.get(row).copied();
                    let partition = (ordinal << 20) | partition as u64;
                    rows.push(Row { cells, time, late: 0, partition, number, key: Vec::new() });
                    number += 1;
                }
            }
        }
        rows
    }

    fn filter_project(
        &mut self,
        input: usize,
        predicate: Option<&TypedExpr>,
        projections: &[Projection],
    ) -> Vec<Row> {
        let schema = &self.plan.nodes()[input].properties.schema;
        let batch = to_batch(schema, &self.rows[input]);
        let mut out = Vec::new();
        for (number, row) in self.rows[input].iter().enumerate() {
            match project(row, &batch, number, predicate, projections) {
                Ok(Some(cells)) => out.push(Row { cells, ..row.clone() }),
                Ok(None) => {}
                Err(error) => {
                    let (partition, number) = (row.partition, row.number);
                    self.outcome.failures.push(Failure { partition, number, error });
                }
            }
        }
        out
    }

    fn map_batches(&self, node: &PlanNode, slot: &str) -> Vec<Row> {
        let function =
            self.inputs.functions.get(slot).unwrap_or_else(|| panic!("no function for slot {slot}"));
        let schema = &self.plan.nodes()[node.inputs[0]].properties.schema;
        let call = |row: &Row| {
            let returned =
                function(to_batch(schema, std::slice::from_ref(row))).expect("the function takes the row");
            let mut cells = cells(&returned);
            assert_eq!(cells.len(), 1, "functions in these tests give one row for one row");
            let mut cells = cells.remove(0);
            // What the function passes on is as exact as it was.
            for (cell, field) in cells.iter_mut().zip(node.properties.schema.fields()) {
                let before = schema.index_of(field.name()).ok().map(|column| &row.cells[column]);
                cell.slack = before.filter(|b| b.value == cell.value).map_or(0.0, |b| b.slack);
            }
            Row { cells, ..row.clone() }
        };
        self.rows[node.inputs[0]].iter().map(call).collect()
    }

    fn aggregate(
        &mut self,
        index: usize,
        window: Option<&KeyedWindow>,
        keys: &[Projection],
        aggregates: &[Aggregation],
    ) -> Vec<Row> {
        let node = &self.plan.nodes()[index];
        let ordinal = self.next_ordinal() << 20;
        let input = node.inputs[0];
        let batch = to_batch(&self.plan.nodes()[input].properties.schema, &self.rows[input]);
        // The rows of each key, with the key of the first of them.
        let mut groups: BTreeMap<Vec<Rank>, (Vec<Scalar>, Vec<usize>)> = BTreeMap::new();
        for (number, row) in self.rows[input].iter().enumerate() {
            if window.is_some_and(|window| row.late > window.allowed_lateness.micros()) {
                self.late[index].push(row.clone());
                continue;
            }
            let key: Vec<Scalar> =
                keys.iter().map(|key| value(&key.expr, &batch, number, row).value).collect();
            let ranks = key.iter().map(Rank::of).collect();
            groups.entry(ranks).or_insert_with(|| (key, Vec::new())).1.push(number);
        }
        if window.is_none() && keys.is_empty() && groups.is_empty() {
            // As in SQL: without keys there is one group, also of no rows.
            groups.insert(Vec::new(), (Vec::new(), Vec::new()));
        }
        self.outcome.late_rows += self.late[index].len() as u64;
        let taken = |aggregate: &Aggregation, numbers: &mut dyn Iterator<Item = usize>| -> Vec<Taken> {
            let mut taken = Vec::new();
            for number in numbers {
                let row = &self.rows[input][number];
                let passes = |filter: &TypedExpr| {
                    interpret(filter, &batch, number).expect("filters can be computed").as_bool()
                        == Some(true)
                };
                if aggregate.filter.as_ref().is_none_or(passes) {
                    let arguments =
                        aggregate.arguments.iter().map(|argument| value(argument, &batch, number, row));
                    taken.push(Taken { arguments: arguments.collect(), place: row.place_in_time() });
                }
            }
            taken
        };
        let mut results = Vec::new();
        for (ranks, (key, numbers)) in groups {
            let rows: Vec<&Row> = numbers.iter().map(|number| &self.rows[input][*number]).collect();
            let windows = windows(window, &rows);
            for (place, (bounds, members)) in windows.iter().enumerate() {
                // Windows of one key with one end are numbered.
                let number = windows[..place].iter().filter(|(other, _)| other.0 == bounds.0).count() as u64;
                let values: Vec<_> = aggregates
                    .iter()
                    .map(|aggregate| taken(aggregate, &mut members.iter().map(|row| numbers[*row])))
                    .collect();
                let time = window.map(|_| *bounds);
                let cells = result(node, time, &key, aggregates, &values);
                let time = time.map(|(end, _)| end - 1);
                let key = ranks.clone();
                results.push(Row { cells, time, late: 0, partition: ordinal, number, key });
            }
        }
        results
    }
}

/// The columns of a result.
fn result(
    node: &PlanNode,
    window: Option<Bounds>,
    key: &[Scalar],
    aggregates: &[Aggregation],
    values: &[Vec<Taken>],
) -> Vec<Cell> {
    let mut cells = Vec::new();
    if let Some((end, start)) = window {
        let zone = node.properties.time.as_ref().and_then(|time| time.zone.clone());
        for value in [start, end] {
            cells.push(Scalar::Timestamp { value, unit: TimeUnit::Microsecond, zone: zone.clone() }.into());
        }
    }
    cells.extend(key.iter().map(|value| Cell::from(canonical(value))));
    for (spec, taken) in aggregates.iter().zip(values) {
        cells.push(
            aggregate(spec, taken)
                .unwrap_or_else(|overflow| panic!("{overflow}; the test data is too large")),
        );
    }
    cells
}

/// The columns of a row, or none when the predicate is not true.
fn project(
    row: &Row,
    batch: &RecordBatch,
    number: usize,
    predicate: Option<&TypedExpr>,
    projections: &[Projection],
) -> Result<Option<Vec<Cell>>, RowErrorKind> {
    if let Some(predicate) = predicate {
        let truth = interpret(predicate, batch, number).map_err(|error| error.error)?;
        if truth.as_bool() != Some(true) {
            return Ok(None);
        }
    }
    let cell = |projection: &Projection| match projection.expr.as_column() {
        Some(column) => Ok(row.cells[column].clone()),
        None => interpret(&projection.expr, batch, number).map(Cell::from).map_err(|error| error.error),
    };
    projections.iter().map(cell).collect::<Result<_, _>>().map(Some)
}

/// The value of a key or an argument, which in these tests never fail.
fn value(expr: &TypedExpr, batch: &RecordBatch, number: usize, row: &Row) -> Cell {
    match expr.as_column() {
        Some(column) => row.cells[column].clone(),
        None => interpret(expr, batch, number).expect("keys and arguments can be computed").into(),
    }
}

/// Event times in µs, floored.
fn micros(column: &dyn Array) -> Vec<i64> {
    assert_eq!(column.null_count(), 0, "event times are never null");
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            column.as_primitive::<TimestampSecondType>().values().iter().map(|t| t * 1_000_000).collect()
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            column.as_primitive::<TimestampMillisecondType>().values().iter().map(|t| t * 1_000).collect()
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            column.as_primitive::<TimestampMicrosecondType>().values().to_vec()
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => column
            .as_primitive::<TimestampNanosecondType>()
            .values()
            .iter()
            .map(|t| t.div_euclid(1_000))
            .collect(),
        DataType::Date32 => column
            .as_primitive::<Date32Type>()
            .values()
            .iter()
            .map(|d| i64::from(*d) * 86_400_000_000)
            .collect(),
        other => panic!("{other} is no event time"),
    }
}

#[cfg(test)]
mod tests;
