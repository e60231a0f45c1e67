//! Random pipelines: forks, unions, joins, windows over windows, late rows, rankings, values over rows,
//! lists, user functions, several sinks.
//!
//! A plan is grown from its sources: each step continues some stream that is there already, so forks and
//! diamonds come by themselves. Everything is drawn from one seed. The plans keep two rules, so that the
//! reference can say exactly what is right: integer values stay small, and results of float sums that
//! round are carried to the sinks and not computed with. A third is kept where rows are numbered: no two of
//! them stand at one place, as they do where a stream meets a copy of itself.

mod exprs;
mod ordered;
mod spread;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use rand::Rng;
use rand::SeedableRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;
use sabot::{
    AggregateExpr, CalendarUnit, Expr, PredictExpr, Stream, approx_count_distinct, avg, bool_or, calendar,
    col, count, count_distinct, count_of, cumulate, first, hopping, last, margin, max, micros, min, on,
    out_of_orderness, prediction, reasons, session, stddev_samp, sum, tumbling,
};
use sabot_connect::Boundedness;
use sabot_expr::types::list_item;
use sabot_ops::conformance::tree_model;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::{Case, CaseBuilder, data, function};
use exprs::Exprs;
pub use exprs::functions;

/// What a plan is grown to.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Rows over all sources.
    pub rows: usize,
    /// Partitions of each source.
    pub partitions: usize,
    /// Steps at least and at most.
    pub steps: (usize, usize),
    /// Where rows come from.
    pub origin: Origin,
}

/// Where the rows of a random pipeline come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Batches in memory.
    Memory,
    /// Channels that the program closes at some point, and says so.
    BoundedChannels,
    /// Channels that might fall idle, so that only the owner of a window's state knows what is late; but
    /// the time-out is so long that none does.
    UnboundedChannels,
}

/// The random pipeline of a seed. The plan depends on the seed alone, the data also on the size.
pub fn case(seed: u64, size: Size) -> Case {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut plan = Growing {
        builder: CaseBuilder::new(format!("random plan {seed} over {} partitions", size.partitions)),
        streams: Vec::new(),
        names: 0,
        origins: 0,
        failing: rng.random_ratio(1, 6),
    };
    let mut rows = ChaCha8Rng::seed_from_u64(!seed);
    let sources = rng.random_range(1..=3usize);
    for source in 0..sources {
        let mine = if source == 0 { size.rows } else { size.rows / (source + 1) };
        let events = data::events(&mut rows, mine, size.partitions);
        let stream = match size.origin {
            Origin::Memory => plan.builder.source(data::schema(), events),
            Origin::BoundedChannels => plan.builder.channels(data::schema(), events, Boundedness::Bounded),
            Origin::UnboundedChannels => {
                plan.builder.channels(data::schema(), events, Boundedness::Unbounded)
            }
        };
        let stream = stream.with_functions(functions());
        let options =
            out_of_orderness(micros(data::OUT_OF_ORDERNESS)).idle_timeout(Duration::from_secs(3_600));
        let timed = rng.random_ratio(9, 10);
        let stream = if timed { stream.event_time("t", options).expect("t is a time") } else { stream };
        plan.add_source(stream, timed);
    }
    for _ in 0..rng.random_range(size.steps.0..=size.steps.1) {
        plan.step(&mut rng);
    }
    plan.finish(&mut rng)
}

/// A random pipeline of `steps` operators over sources of the caller's, each with whether it has event
/// time. Unbounded streams are never grouped without windows.
pub fn grow(rng: &mut ChaCha8Rng, builder: CaseBuilder, sources: Vec<(Stream, bool)>, steps: usize) -> Case {
    let mut plan = Growing { builder, streams: Vec::new(), names: 0, origins: 0, failing: false };
    for (stream, timed) in sources {
        plan.add_source(stream, timed);
    }
    for _ in 0..steps {
        plan.step(rng);
    }
    plan.finish(rng)
}

struct Growing {
    builder: CaseBuilder,
    streams: Vec<Grown>,
    /// Names given so far.
    names: usize,
    /// Places that rows can come from, so far.
    origins: usize,
    /// Whether some row shall be impossible to compute.
    failing: bool,
}

/// A stream that can be continued.
#[derive(Clone)]
struct Grown {
    stream: Stream,
    timed: bool,
    /// Columns with results of float sums that round.
    approximate: BTreeSet<String>,
    /// Where the places of its rows come from: sources, and operators that place rows anew.
    origins: BTreeSet<usize>,
    /// Whether two rows may stand at one place.
    tied: bool,
    /// Streams that were made of it.
    children: usize,
}

impl Grown {
    fn schema(&self) -> SchemaRef {
        self.stream.schema().clone()
    }

    /// The columns that may be computed with.
    fn exact(&self) -> Vec<Field> {
        let schema = self.schema();
        let exact = schema.fields().iter().filter(|f| !self.approximate.contains(f.name()));
        exact.map(|f| f.as_ref().clone()).collect()
    }
}

impl Growing {
    /// A stream whose rows stand where those of `like` stood.
    fn add(&mut self, stream: Stream, timed: bool, like: Grown) {
        let mut approximate = like.approximate;
        approximate.retain(|name| stream.schema().field_with_name(name).is_ok());
        self.streams.push(Grown { stream, timed, approximate, children: 0, ..like });
    }

    /// A stream of rows that have places of their own.
    fn add_results(&mut self, stream: Stream, timed: bool, approximate: BTreeSet<String>) {
        self.origins += 1;
        let origins = BTreeSet::from([self.origins]);
        let like = Grown { stream: stream.clone(), timed, approximate, origins, tied: false, children: 0 };
        self.add(stream, timed, like);
    }

    fn add_source(&mut self, stream: Stream, timed: bool) {
        self.add_results(stream, timed, BTreeSet::new());
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("c{}", self.names)
    }

    /// A stream to continue: mostly one that nothing was made of yet.
    fn pick(&mut self, rng: &mut ChaCha8Rng) -> Grown {
        let fresh: Vec<usize> = (0..self.streams.len()).filter(|i| self.streams[*i].children == 0).collect();
        let all: Vec<usize> = (0..self.streams.len()).collect();
        let from = if fresh.is_empty() || rng.random_ratio(1, 4) { &all } else { &fresh };
        let index = *from.choose(rng).expect("there is a stream");
        self.streams[index].children += 1;
        self.streams[index].clone()
    }

    fn step(&mut self, rng: &mut ChaCha8Rng) {
        let from = self.pick(rng);
        match rng.random_range(0..24) {
            0..=2 => self.filter(rng, from),
            3..=4 => self.with_columns(rng, from),
            5 => self.select(rng, from),
            6..=9 | 23 if from.timed => self.window(rng, from),
            10 if from.stream.is_bounded() => self.group_by(rng, from),
            11..=12 => {
                let other = self.pick(rng);
                self.union(rng, from, other);
            }
            13 => self.map_batches(from),
            14 => {
                let other = self.pick(rng);
                self.join(rng, from, other);
            }
            15 => self.sort(rng, from),
            16 => self.limit(rng, from),
            17 => self.unique(rng, from),
            18 => self.top_n(rng, from),
            19 => self.over(rng, from),
            20 => self.unnest(rng, from),
            21 => self.rolling(rng, from),
            22 => self.predict(rng, from),
            _ => self.filter(rng, from),
        }
    }

    /// A join with the distinct values of a column, so that rows do not multiply. Where the sides have no
    /// type in common, or the right one has no end, a filter.
    fn join(&mut self, rng: &mut ChaCha8Rng, from: Grown, other: Grown) {
        let pairs: Vec<(String, String)> = from
            .exact()
            .iter()
            .flat_map(|l| other.exact().into_iter().map(move |r| (l.clone(), r)))
            .filter(|(l, r)| l.data_type() == r.data_type())
            .map(|(l, r)| (l.name().clone(), r.name().clone()))
            .collect();
        let Some((left, right)) = pairs.choose(rng).filter(|_| other.stream.is_bounded()) else {
            return self.filter(rng, from);
        };
        let (key, rows) = (self.name(), self.name());
        let distinct = other.stream.select([col(right.as_str()).alias(key.as_str())]).expect("it is there");
        let distinct = distinct.group_by([&key]).expect("a key of any type");
        let distinct = distinct.aggregate([count().alias(rows.as_str())]).expect("names are new");
        let pair = on(left.as_str(), key.as_str());
        let kind = rng.random_range(0..if from.stream.is_bounded() { 6 } else { 4 });
        let pair = match kind {
            0 => pair.inner(),
            1 => pair.left(),
            2 => pair.semi(),
            3 => pair.anti(),
            4 => pair.right(),
            _ => pair.full(),
        };
        let pair = if rng.random() { pair.broadcast().unique() } else { pair };
        let stream = from.stream.clone().join(&distinct, pair).expect("the sides fit");
        // Right and full joins have no event time, and place right rows anew.
        let timed = from.timed && kind < 4;
        match kind < 4 {
            true => self.add(stream, timed, from),
            false => self.add_results(stream, timed, from.approximate),
        }
    }

    /// What a model of a few trees says of each row.
    fn predict(&mut self, rng: &mut ChaCha8Rng, from: Grown) {
        let numbers = from.exact().into_iter().filter(|field| field.data_type().is_numeric());
        let names: Vec<String> = numbers.map(|field| field.name().clone()).collect();
        if names.is_empty() {
            return self.filter(rng, from);
        }
        let features = (0..3).filter_map(|_| names.choose(rng).cloned()).collect();
        let model = Arc::new(tree_model(rng, features));
        let mut values = vec![prediction(), reasons(2), margin()];
        values.truncate(rng.random_range(1..=3));
        let values: Vec<PredictExpr> = values.into_iter().map(|value| value.alias(self.name())).collect();
        // A probability may differ between devices in its last bits.
        let mut from = from;
        from.approximate.insert(values[0].output_name());
        let stream = from.stream.clone().predict(&model, values).expect("the features are numbers");
        // Reasons go no further: what is drawn behind takes flat columns.
        let schema = stream.schema().clone();
        let flat = schema.fields().iter().filter(|field| list_item(field.data_type()).is_none());
        let flat = stream.clone().select(flat.map(|f| col(f.name().as_str()))).expect("they are there");
        if rng.random_ratio(1, 3) {
            self.builder.output(&stream, false);
        }
        self.add(flat, from.timed, from);
    }

    fn filter(&mut self, rng: &mut ChaCha8Rng, from: Grown) {
        let predicate = Exprs::new(rng, &from.exact()).truth(2);
        let stream = from.stream.clone().filter(predicate).expect("the predicate fits");
        self.add(stream, from.timed, from);
    }

    fn with_columns(&mut self, rng: &mut ChaCha8Rng, from: Grown) {
        let mut columns = Vec::new();
        for _ in 0..rng.random_range(1..=2) {
            let name = self.name();
            columns.push(Exprs::new(rng, &from.exact()).any().alias(name));
        }
        let stream = from.stream.clone().with_columns(columns).expect("the columns fit");
        self.add(stream, from.timed, from);
    }

    fn select(&mut self, rng: &mut ChaCha8Rng, from: Grown) {
        let schema = from.schema();
        let mut columns: Vec<Expr> = schema.fields().iter().map(|f| col(f.name().as_str())).collect();
        columns.shuffle(rng);
        columns.truncate(rng.random_range(1..=columns.len()));
        let name = self.name();
        columns.push(Exprs::new(rng, &from.exact()).any().alias(name));
        let stream = from.stream.clone().select(columns).expect("the columns are there");
        self.add(stream, from.timed, from);
    }

    fn window(&mut self, rng: &mut ChaCha8Rng, from: Grown) {
        let size = *[7_000_000, 30_000_000, 60_000_000, 300_000_000].choose(rng).expect("not empty");
        let (mut window, moves) = match rng.random_range(0..10) {
            // Few windows hold a row, or results would be many times the rows.
            0..=1 => (hopping(micros(size), micros(size / rng.random_range(1..=4))), true),
            2 => (hopping(micros(size), micros(size * rng.random_range(2..=9) / 7)), true),
            3 => (cumulate(micros(size), micros(size / [2, 5][rng.random_range(0..2)])), true),
            4 => (calendar(CalendarUnit::Day).zone("Asia/Kolkata"), true),
            5..=6 => (session(micros(size / 20)), false),
            _ => (tumbling(micros(size)), true),
        };
        if moves && rng.random_ratio(1, 3) {
            window = window.offset(micros(rng.random_range(-size..size)));
        }
        if rng.random_ratio(1, 3) {
            window = window.allowed_lateness(micros(20_000_000));
        }
        let keys = self.keys(rng, &from);
        let (aggregates, approximate) = self.aggregates(rng, &from);
        let windowed = from.stream.clone().window(window).expect("the rows have event time");
        let result = windowed.group_by(keys).expect("the keys fit").aggregate(aggregates).expect("they fit");
        let (result, late) = match rng.random_ratio(2, 5) {
            true => {
                let (result, late) = result.split_late().expect("it is a window");
                (result, Some(late))
            }
            false => (result, None),
        };
        self.add_results(result, true, approximate);
        if let Some(late) = late {
            self.add(late, true, from);
        }
    }

    fn group_by(&mut self, rng: &mut ChaCha8Rng, from: Grown) {
        let keys = self.keys(rng, &from);
        let (aggregates, approximate) = self.aggregates(rng, &from);
        let grouped = from.stream.clone().group_by(keys).expect("the keys fit");
        self.add_results(grouped.aggregate(aggregates).expect("they fit"), false, approximate);
    }

    /// Up to two keys: columns, or something computed.
    fn keys(&mut self, rng: &mut ChaCha8Rng, from: &Grown) -> Vec<Expr> {
        let mut keys = Vec::new();
        for _ in 0..rng.random_range(0..=2) {
            let name = self.name();
            keys.push(Exprs::new(rng, &from.exact()).key().alias(name));
        }
        keys
    }

    /// Aggregates under new names, and which of their results are approximate.
    fn aggregates(&mut self, rng: &mut ChaCha8Rng, from: &Grown) -> (Vec<AggregateExpr>, BTreeSet<String>) {
        let mut approximate = BTreeSet::new();
        let rows = self.name();
        let mut aggregates = vec![count().alias(rows)];
        let exact = from.exact();
        for _ in 0..rng.random_range(0..=3) {
            let Some(field) = exact.choose(rng) else { continue };
            let (value, name) = (col(field.name().as_str()), self.name());
            let is_float = field.data_type().is_floating();
            let numeric = is_float || field.data_type().is_integer();
            let mut aggregate = match rng.random_range(0..11) {
                0 if numeric => sum(value),
                1 if numeric || field.data_type() == &DataType::Boolean => avg(value),
                2 => min(value),
                3 => max(value),
                4 => first(value),
                5 => last(value),
                6 => count_distinct(value),
                7 if numeric => stddev_samp(value),
                8 if field.data_type() == &DataType::Boolean => bool_or(value),
                9 => approx_count_distinct(value),
                _ => count_of(value),
            };
            let flag = exact.iter().find(|f| f.data_type() == &DataType::Boolean);
            if let Some(flag) = flag.filter(|_| rng.random_ratio(1, 4)) {
                aggregate = aggregate.filter(col(flag.name().as_str()));
            }
            let adds = matches!(aggregate.function.name(), "sum" | "avg");
            if is_float && adds || aggregate.function.name() == "stddev_samp" {
                approximate.insert(name.clone());
            }
            aggregates.push(aggregate.alias(name));
        }
        (aggregates, approximate)
    }

    /// The columns that two streams have in common, from both.
    fn union(&mut self, rng: &mut ChaCha8Rng, left: Grown, right: Grown) {
        let (ls, rs) = (left.schema(), right.schema());
        let same =
            |f: &&Arc<Field>| rs.field_with_name(f.name()).is_ok_and(|g| g.data_type() == f.data_type());
        let common: Vec<Expr> = ls.fields().iter().filter(same).map(|f| col(f.name().as_str())).collect();
        if common.is_empty() {
            return self.filter(rng, left);
        }
        let approximate = left.approximate.union(&right.approximate).cloned().collect();
        let tied = left.tied || right.tied || !left.origins.is_disjoint(&right.origins);
        let origins = left.origins.union(&right.origins).copied().collect();
        let left_half = left.stream.clone().select(common.clone()).expect("the columns are there");
        let right_half = right.stream.select(common).expect("the columns are there");
        let stream = left_half.union(&right_half).expect("the columns are the same");
        self.add(stream, left.timed && right.timed, Grown { approximate, origins, tied, ..left });
    }

    /// A user function that appends a column: how many columns of the row are null.
    fn map_batches(&mut self, from: Grown) {
        let name = self.name();
        let mut fields: Vec<_> = from.schema().fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(name, DataType::Int64, false)));
        let schema = Arc::new(Schema::new(fields));
        let returned = schema.clone();
        let count_nulls = function(move |batch: RecordBatch| {
            let nulls = |row| batch.columns().iter().filter(|c| c.is_null(row)).count();
            let counted: Int64Array =
                (0..batch.num_rows()).map(|row| nulls(row) as i64).collect::<Vec<_>>().into();
            let mut columns = batch.columns().to_vec();
            columns.push(Arc::new(counted) as ArrayRef);
            debug_assert!(columns.last().is_some_and(|c| c.as_primitive::<Int64Type>().null_count() == 0));
            Ok(RecordBatch::try_new(returned.clone(), columns)?)
        });
        let stream = self.builder.map_batches(from.stream.clone(), schema, count_nulls);
        self.add(stream, from.timed, from);
    }

    /// Sinks: every stream that nothing was made of, up to three.
    fn finish(mut self, rng: &mut ChaCha8Rng) -> Case {
        let mut ends: Vec<usize> =
            (0..self.streams.len()).filter(|i| self.streams[*i].children == 0).collect();
        ends.shuffle(rng);
        ends.truncate(3);
        if self.failing {
            self.plant_failure(rng, ends[0]);
        }
        for end in ends {
            let Grown { stream, timed, .. } = &self.streams[end];
            // Rows without time and without end have no order that could ever be given.
            let ordered = rng.random_ratio(3, 4) && (*timed || stream.is_bounded());
            self.builder.output(stream, ordered);
        }
        self.builder.build()
    }

    /// Divides by zero where an integer column has a certain value.
    fn plant_failure(&mut self, rng: &mut ChaCha8Rng, end: usize) {
        let grown = self.streams[end].clone();
        let integers: Vec<Field> =
            grown.exact().into_iter().filter(|f| f.data_type().is_signed_integer()).collect();
        let Some(field) = integers.choose(rng) else { return };
        let unlucky: i64 = rng.random_range(0..12);
        let name = self.name();
        let value = col(field.name().as_str()).cast(DataType::Int64);
        let failing = (sabot::lit(840i64) / (value - sabot::lit(unlucky))).alias(name);
        self.streams[end].stream = grown.stream.with_columns([failing]).expect("the column fits");
    }
}
