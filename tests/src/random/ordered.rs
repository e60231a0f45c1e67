//! Steps whose results depend on the order of rows: rankings, values over rows, lists that become rows.
//!
//! Where two rows stand at one place their order is that of arrival, and anything may be right; there a
//! filter is drawn instead. So it is where a stream has no end and the step needs one.

use arrow::datatypes::{DataType, Field};
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use sabot::{
    AggregateExpr, Keep, OverExpr, SortExpr, Stream, array_agg, asc, col, count, count_distinct, dense_rank,
    desc, elements, first_value, lag, last_value, lead, max, min, range, range_between, rank, row_number,
    rows, rows_between, running, seconds, sum, tumbling, whole,
};
use sabot_expr::types::list_item;
use std::collections::BTreeSet;

use super::{Exprs, Growing, Grown};

impl Growing {
    /// A sort, a page of it, or its first rows.
    pub(super) fn sort(&mut self, rng: &mut ChaCha8Rng, from: Grown) {
        if from.tied || !from.stream.is_bounded() {
            return self.filter(rng, from);
        }
        let keys = order(rng, &from);
        let sorted = from.stream.sort(keys).expect("every column has an order");
        let stream = match rng.random_range(0..3) {
            0 => Ok(sorted),
            1 => sorted.slice(rng.random_range(0..20), rng.random_range(10..90)),
            _ => sorted.limit(rng.random_range(10..90)),
        };
        self.add_results(stream.expect("it ends"), false, from.approximate);
    }

    /// Some rows in a row, in the order of the stream.
    pub(super) fn limit(&mut self, rng: &mut ChaCha8Rng, from: Grown) {
        // A limit of a stream without end may end the job before all late rows are counted.
        if from.tied || !from.stream.is_bounded() {
            return self.filter(rng, from);
        }
        let skip = if rng.random() { 0 } else { rng.random_range(0..30) };
        let stream = from.stream.clone().slice(skip, rng.random_range(20..200)).expect("it ends");
        self.add(stream, from.timed, from);
    }

    /// One row of each key, or of each kind.
    pub(super) fn unique(&mut self, rng: &mut ChaCha8Rng, from: Grown) {
        let ends = from.stream.is_bounded();
        if from.tied || !(ends || from.timed) {
            return self.filter(rng, from);
        }
        let stream = from.stream.clone();
        let stream = match rng.random_range(0..3) {
            0 if from.approximate.is_empty() => stream.distinct(),
            1 if ends => stream.unique([Exprs::new(rng, &from.exact()).key()], Keep::Last),
            _ => stream.unique([Exprs::new(rng, &from.exact()).key()], Keep::First),
        };
        self.add(stream.expect("the key fits"), from.timed, from);
    }

    /// The first rows of each window, or of all; they are numbered, so only once a stream.
    pub(super) fn top_n(&mut self, rng: &mut ChaCha8Rng, from: Grown) {
        if from.tied || from.stream.schema().field_with_name("rank").is_ok() {
            return self.filter(rng, from);
        }
        let keys = order(rng, &from);
        let group = rng.random::<bool>().then(|| Exprs::new(rng, &from.exact()).key());
        // Whether there are windows, whose ends can be waited for, is known to the stream.
        match from.stream.clone().top_n_by(group, rng.random_range(1..6), keys) {
            Ok(stream) => {
                let timed = has_time(&stream);
                self.add_results(stream, timed, from.approximate);
            }
            Err(_) => self.filter(rng, from),
        }
    }

    /// Values over the rows around each row, in the order of event time or of some columns.
    pub(super) fn over(&mut self, rng: &mut ChaCha8Rng, from: Grown) {
        let exact = from.exact();
        let numbers: Vec<&Field> = exact.iter().filter(|f| f.data_type().is_signed_integer()).collect();
        let Some(number) = numbers.choose(rng).filter(|_| from.stream.is_bounded() && !from.tied) else {
            return self.filter(rng, from);
        };
        let value = number.name().as_str();
        let frame = [running(), whole(), rows(3)][rng.random_range(0..3)];
        let partition = Exprs::new(rng, &exact).key();
        let over: OverExpr = match rng.random_range(0..10) {
            0 => row_number().over([partition], frame),
            1 => rank().over([partition], frame),
            2 => dense_rank().over([partition], frame),
            3 => lag(value, rng.random_range(0..4)).over([partition], frame),
            4 => lead(value, rng.random_range(0..4)).over([partition], frame),
            5 => first_value(value).over([partition], frame),
            6 => last_value(value).over([partition], frame),
            _ => aggregate(rng, value, &exact).over([partition], frame),
        };
        let over = if rng.random() { over.order_by(order(rng, &from)) } else { over };
        let stream = from.stream.clone().with_columns([over.alias(self.name())]);
        self.add(stream.expect("the values fit"), from.timed, from);
    }

    /// Values over the rows before each row, in event time, on streams that may never end.
    pub(super) fn rolling(&mut self, rng: &mut ChaCha8Rng, from: Grown) {
        let exact = from.exact();
        let numbers: Vec<&Field> = exact.iter().filter(|f| f.data_type().is_signed_integer()).collect();
        let Some(number) = numbers.choose(rng).filter(|_| from.timed && !from.tied) else {
            return self.filter(rng, from);
        };
        let value = number.name().as_str();
        let partition = Exprs::new(rng, &exact).key();
        let ties = rng.random::<bool>().then(|| order(rng, &from));
        let mut columns = Vec::new();
        for _ in 0..rng.random_range(1..=3) {
            let frame = match rng.random_range(0..4) {
                0 => range(seconds(rng.random_range(0..90))),
                1 => range_between(seconds(rng.random_range(30..90)), seconds(rng.random_range(0..40))),
                2 => rows(rng.random_range(0..9)),
                _ => rows_between(rng.random_range(2..9), rng.random_range(0..4)),
            };
            let over: OverExpr = match rng.random_range(0..6) {
                0 => lag(value, rng.random_range(0..4)).over([partition.clone()], frame),
                1 => first_value(value).over([partition.clone()], frame),
                2 => last_value(value).over([partition.clone()], frame),
                3 => count_distinct(col(value)).over([partition.clone()], frame),
                _ => aggregate(rng, value, &exact).over([partition.clone()], frame),
            };
            let over = ties.iter().fold(over, |over, ties| over.then_by(ties.clone()));
            columns.push(over.alias(self.name()));
        }
        let stream = from.stream.clone().with_columns(columns);
        self.add(stream.expect("the values fit"), from.timed, from);
    }

    /// Lists of windows or groups, some of them empty, and their elements as rows.
    pub(super) fn unnest(&mut self, rng: &mut ChaCha8Rng, from: Grown) {
        let exact = from.exact();
        let Some(field) = exact.choose(rng).filter(|_| from.timed || from.stream.is_bounded()) else {
            return self.filter(rng, from);
        };
        let value = || array_agg(col(field.name().as_str()));
        let (all, some) = (self.name(), self.name());
        let lists = [value().alias(&all), value().filter(Exprs::new(rng, &exact).truth(1)).alias(&some)];
        let keys = self.keys(rng, &from);
        let grouped = match from.timed {
            true => from.stream.window(tumbling(seconds(60))).expect("it has a time").group_by(keys),
            false => from.stream.group_by(keys),
        };
        let stream = grouped.expect("the keys fit").aggregate(lists).expect("any column makes lists");
        let request = elements(if rng.random() { all } else { some }).alias(self.name());
        let request = if rng.random() { request.keep_empty() } else { request };
        let request = if rng.random() { request.position(self.name()) } else { request };
        let stream = stream.unnest(request).expect("it is a list");
        // The list that was not taken goes no further: what is drawn behind takes flat columns.
        let schema = stream.schema().clone();
        let flat = schema.fields().iter().filter(|field| list_item(field.data_type()).is_none());
        let stream = stream.select(flat.map(|f| col(f.name().as_str()))).expect("the columns are there");
        self.add_results(stream, from.timed, BTreeSet::new());
    }
}

/// An aggregate of integers, some with a filter.
fn aggregate(rng: &mut ChaCha8Rng, value: &str, columns: &[Field]) -> AggregateExpr {
    let aggregate = match rng.random_range(0..4) {
        0 => count(),
        1 => sum(col(value)),
        2 => min(col(value)),
        _ => max(col(value)),
    };
    let flag = columns.iter().find(|field| field.data_type() == &DataType::Boolean);
    match flag.filter(|_| rng.random()) {
        Some(flag) => aggregate.filter(col(flag.name().as_str())),
        None => aggregate,
    }
}

/// One or two columns to sort by.
fn order(rng: &mut ChaCha8Rng, from: &Grown) -> Vec<SortExpr> {
    let exact = from.exact();
    let mut keys = Vec::new();
    for _ in 0..rng.random_range(1..=2) {
        let Some(field) = exact.choose(rng) else { continue };
        let key = if rng.random() { asc(field.name().as_str()) } else { desc(field.name().as_str()) };
        keys.push(if rng.random() { key.nulls_first() } else { key });
    }
    if keys.is_empty() {
        keys.push(asc(sabot::lit(1i64)));
    }
    keys
}

/// Whether rows of a stream have event time.
fn has_time(stream: &Stream) -> bool {
    let plan = stream.to_plan().expect("the stream can be planned");
    plan.nodes().last().is_some_and(|sink| sink.properties.time.is_some())
}
