//! The pipelines that have a name.

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, TimeUnit};
use arrow::record_batch::RecordBatch;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sabot::{
    CalendarUnit, Stream, approx_count_distinct, approx_quantile, avg, bool_and, bool_or, calendar, call,
    call_aggregate, coalesce, col, corr, count, count_distinct, count_of, count_window, covar_samp, cumulate,
    first, hopping, last, lit, max, micros, min, out_of_orderness, seconds, session, stddev_pop, string_agg,
    sum, tumbling, var_samp, when,
};
use sabot_tests::{Case, CaseBuilder, data, function, random};
use std::sync::Arc;

use crate::joins;
use crate::order;
use crate::predict;
use crate::unnest;

/// A maker of cases: rows over all partitions, partitions.
pub(crate) type Make = fn(usize, usize) -> Case;

/// All of them.
pub(crate) const ALL: &[(&str, Make)] = &[
    ("stateless", stateless),
    ("window", window),
    ("overlapping", overlapping),
    ("sessions", sessions),
    ("counted", counted),
    ("fork", fork),
    ("union", union),
    ("exchanges", exchanges),
    ("sinks", sinks),
    ("functions", functions),
    ("global", global),
    ("float_sums", float_sums),
    ("diamond", diamond),
    ("keys", keys),
    ("times", times),
    ("payload", payload),
    ("nested_keys", nested_keys),
    ("lookup_join", joins::lookup),
    ("joins", joins::kinds),
    ("joins_of_what_they_share", joins::shared),
    ("more_joins", joins::more),
    ("asof_joins", joins::asof),
    ("top_n", order::top_n),
    ("top_n_by_key", order::top_n_by_key),
    ("sorted", order::sorted),
    ("limits", order::limits),
    ("unique", order::unique),
    ("distinct", order::distinct),
    ("over", order::over),
    ("rolling", order::rolling),
    ("predict", predict::predict),
    ("unnest", unnest::unnest),
    ("unnest_every_type", unnest::every_type),
    ("unnest_results", unnest::results),
    ("aggregates", aggregates),
    ("ordered", ordered),
];

pub(crate) fn events(builder: &mut CaseBuilder, seed: u64, rows: usize, partitions: usize) -> Stream {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let rows = data::events(&mut rng, rows, partitions);
    let stream = builder.source(data::schema(), rows);
    stream.event_time("t", out_of_orderness(micros(data::OUT_OF_ORDERNESS))).unwrap()
}

/// Columns of every type through a filter, a projection, a fork and a union, a user function and an ordered sink.
pub(crate) fn payload(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("payload of every type");
    let mut rng = ChaCha8Rng::seed_from_u64(21);
    let stream = builder.source(data::payload_schema(), data::payload(&mut rng, rows, partitions));
    let stream = stream.event_time("t", out_of_orderness(micros(data::OUT_OF_ORDERNESS))).unwrap();
    let kept = stream.clone().filter(col("n").gt(40).or(col("p18").is_null())).unwrap();
    let rest = stream.filter(col("n").lt_eq(-40)).unwrap().with_columns([(col("n") * 2).alias("n")]).unwrap();
    let both = kept.union(&rest).unwrap();
    let schema = both.schema().clone();
    let mapped = builder.map_batches(both, schema, function(Ok));
    builder.output(&mapped, true);
    builder.build()
}

/// Group-bys with keys of every type that can be one.
pub(crate) fn nested_keys(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("keys of every type");
    let mut rng = ChaCha8Rng::seed_from_u64(22);
    let stream = builder.source(data::payload_schema(), data::payload(&mut rng, rows, partitions));
    let stream = stream.event_time("t", out_of_orderness(micros(data::OUT_OF_ORDERNESS))).unwrap();
    let schema = data::payload_schema();
    let keys: Vec<&str> = schema
        .fields()
        .iter()
        .filter(|f| f.name().starts_with('p') && sabot_batch::key_hash::supports_key(f.data_type()))
        .map(|f| f.name().as_str())
        .collect();
    // Some with a window, whose keys are kept between morsels and go into snapshots, all in turn.
    let turn = rows.wrapping_mul(7) + partitions;
    for (number, by) in keys.chunks(2).enumerate().filter(|(number, _)| (number + turn).is_multiple_of(4)) {
        let grouped = match number % 8 < 4 {
            true => stream.clone().window(tumbling(seconds(300))).unwrap().group_by(by.to_vec()).unwrap(),
            false => stream.clone().group_by(by.to_vec()).unwrap(),
        };
        let grouped = grouped.aggregate([count().alias("rows"), max(col("n")).alias("most")]).unwrap();
        builder.output(&grouped, true);
    }
    builder.build()
}

/// Filter, project, filter: one fragment.
pub(crate) fn stateless(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("stateless");
    let stream = events(&mut builder, 1, rows, partitions)
        .filter(col("n").gt(0).or(col("k").is_null()))
        .unwrap()
        .with_columns([
            (col("n") * 2 + 1).alias("odd"),
            when(col("b")).then(col("x")).otherwise(lit(0.25)).alias("x"),
            coalesce([col("k"), col("d").cast(DataType::Utf8), lit("-")]).alias("where"),
        ])
        .unwrap()
        .filter(col("where").not_eq("JFK"))
        .unwrap()
        .select([col("t"), col("odd"), col("x"), col("where"), col("d")])
        .unwrap();
    builder.output(&stream, true);
    builder.build()
}

/// One windowed aggregation with all functions, and its late rows.
pub(crate) fn window(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("window");
    let (result, late) = events(&mut builder, 2, rows, partitions)
        .window(tumbling(seconds(45)).offset(seconds(7)).allowed_lateness(seconds(12)))
        .unwrap()
        .group_by(["k", "m"])
        .unwrap()
        .aggregate([
            count().alias("rows"),
            count_of(col("x")).alias("values"),
            sum(col("n")).alias("sum"),
            avg(col("n")).alias("mean"),
            min(col("x")).alias("least"),
            max(col("d")).alias("greatest"),
            avg(col("b")).alias("share"),
        ])
        .unwrap()
        .split_late()
        .unwrap();
    builder.output(&result, true);
    builder.output(&late, true);
    builder.build()
}

/// Windows that overlap, grow, leave gaps or follow the calendar, and windows over their results.
pub(crate) fn overlapping(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("overlapping windows");
    let start = events(&mut builder, 15, rows, partitions);
    let windows = [
        hopping(seconds(60), seconds(20)),
        hopping(seconds(50), seconds(20)).offset(seconds(3)).allowed_lateness(seconds(12)),
        hopping(seconds(100), seconds(1)),
        hopping(seconds(10), seconds(25)),
        cumulate(seconds(120), seconds(30)),
        calendar(CalendarUnit::Day).zone("America/Sao_Paulo").offset(seconds(-4_000)),
    ];
    for (number, window) in windows.into_iter().enumerate() {
        let by = if number % 2 == 0 { vec!["k"] } else { vec!["d", "m"] };
        let (result, late) = start
            .clone()
            .window(window)
            .unwrap()
            .group_by(by)
            .unwrap()
            .aggregate([
                count().alias("rows"),
                sum(col("n")).alias("sum"),
                avg(col("x")).alias("mean"),
                min(col("k")).alias("least"),
                max(col("t")).alias("last"),
            ])
            .unwrap()
            .split_late()
            .unwrap();
        builder.output(&result, true);
        match number {
            0 => {
                let over = result.window(hopping(seconds(70), seconds(30))).unwrap();
                builder.output(&over.aggregate([sum(col("rows")), count()]).unwrap(), true);
            }
            1 => builder.output(&late, true),
            _ => {}
        }
    }
    builder.build()
}

/// Sessions by key and over all rows, short ones and long ones, and windows over sessions.
pub(crate) fn sessions(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("sessions");
    let start = events(&mut builder, 16, rows, partitions);
    for (number, gap) in [1, 4, 9, 400].into_iter().enumerate() {
        let window = session(seconds(gap));
        let window = if number == 1 { window.allowed_lateness(seconds(12)) } else { window };
        let by = [vec!["k"], vec!["k", "m"], vec![], vec!["d"]][number].clone();
        let sessions = start.clone().window(window).unwrap().group_by(by).unwrap();
        let (result, late) = sessions
            .aggregate([
                count().alias("rows"),
                sum(col("n")).alias("sum"),
                avg(col("x")).alias("mean"),
                min(col("k")).alias("least"),
                max(col("t")).alias("last"),
            ])
            .unwrap()
            .split_late()
            .unwrap();
        builder.output(&result, true);
        match number {
            0 => {
                let over = result.window(session(seconds(3))).unwrap();
                builder.output(&over.aggregate([sum(col("rows")), count()]).unwrap(), true);
            }
            1 => builder.output(&late, true),
            _ => {}
        }
    }
    builder.build()
}

/// Windows by count of rows, by key and over all rows, of rows and of results.
pub(crate) fn counted(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("windows by count");
    let start = events(&mut builder, 17, rows, partitions);
    for (number, size) in [1, 3, 10].into_iter().enumerate() {
        let window = count_window(size);
        let window = if number == 1 { window.allowed_lateness(seconds(12)) } else { window };
        let by = [vec!["d"], vec!["k", "m"], vec![]][number].clone();
        let (result, late) = start
            .clone()
            .window(window)
            .unwrap()
            .group_by(by)
            .unwrap()
            .aggregate([count().alias("rows"), sum(col("n")).alias("sum"), min(col("k")).alias("least")])
            .unwrap()
            .split_late()
            .unwrap();
        builder.output(&result, true);
        match number {
            0 => {
                let over = start.clone().window(hopping(seconds(40), seconds(15))).unwrap();
                let over = over.group_by(["k"]).unwrap().aggregate([sum(col("n")).alias("n")]).unwrap();
                let over = over.window(count_window(4)).unwrap();
                builder.output(&over.aggregate([sum(col("n")), count()]).unwrap(), true);
            }
            1 => builder.output(&late, true),
            _ => {}
        }
    }
    builder.build()
}

/// Two windows from one fork.
pub(crate) fn fork(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("two windows from one fork");
    let start = events(&mut builder, 3, rows, partitions).filter(col("n").gt(-40)).unwrap();
    let short = start.clone().window(tumbling(seconds(10))).unwrap();
    let short = short.group_by(["k"]).unwrap().aggregate([sum(col("n")).alias("sum")]).unwrap();
    let long = start.window(tumbling(seconds(100)).allowed_lateness(seconds(30))).unwrap();
    let long = long.group_by(["d"]).unwrap().aggregate([count(), max(col("t")).alias("last")]).unwrap();
    builder.output(&short, true);
    builder.output(&long, true);
    builder.build()
}

/// A union of sources of very different length, one of them empty, then a window.
pub(crate) fn union(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("union of uneven sources");
    let long = events(&mut builder, 4, rows, partitions);
    let short = events(&mut builder, 5, rows / 20, 1);
    let empty = events(&mut builder, 6, 0, partitions);
    let all = long.union(&short).unwrap().union(&empty).unwrap();
    let windows = all.clone().window(tumbling(seconds(20))).unwrap().group_by(["m"]).unwrap();
    let windows = windows.aggregate([count().alias("rows"), sum(col("x")).alias("x")]).unwrap();
    builder.output(&all, true);
    builder.output(&windows, true);
    builder.build()
}

/// Two exchanges in a row: a window over the results of a window.
pub(crate) fn exchanges(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("two exchanges in a row");
    let fine = events(&mut builder, 7, rows, partitions)
        .window(tumbling(seconds(15)))
        .unwrap()
        .group_by(["k", "m"])
        .unwrap()
        .aggregate([count().alias("rows"), sum(col("n")).alias("n")])
        .unwrap();
    let coarse = fine
        .filter(col("rows").gt(1).or(col("m").gt(3)))
        .unwrap()
        .window(tumbling(seconds(60)).allowed_lateness(seconds(5)))
        .unwrap()
        .group_by(["k"])
        .unwrap()
        .aggregate([count().alias("groups"), sum(col("rows")).alias("rows"), max(col("n")).alias("most")])
        .unwrap();
    builder.output(&coarse, true);
    builder.build()
}

/// Two sinks, one ordered and one not, of one shared prefix.
pub(crate) fn sinks(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("two sinks");
    let start = events(&mut builder, 8, rows, partitions).with_columns([(col("n") - 5).alias("n")]).unwrap();
    let windows = start.clone().window(tumbling(seconds(30))).unwrap();
    let windows = windows.group_by(["k"]).unwrap().aggregate([min(col("n")).alias("least")]).unwrap();
    builder.output(&start.filter(col("b")).unwrap(), false);
    builder.output(&windows, true);
    builder.build()
}

/// User functions: one in expressions, one over batches.
pub(crate) fn functions(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("user functions");
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let rows = data::events(&mut rng, rows, partitions);
    let stream = builder
        .source(data::schema(), rows)
        .with_functions(random::functions())
        .event_time("t", out_of_orderness(micros(data::OUT_OF_ORDERNESS)))
        .unwrap()
        .select([col("k"), call("twice", 1, [col("n")]).alias("n"), col("x")])
        .unwrap()
        .filter(call("reverse", 3, [col("k")]).not_eq("KFJ"))
        .unwrap();
    let schema = Arc::new(Schema::new(vec![
        Field::new("k", DataType::Utf8, true),
        Field::new("scaled", DataType::Int64, true),
    ]));
    let returned = schema.clone();
    let scale = function(move |batch: RecordBatch| {
        let n = batch.column(1).as_primitive::<Int64Type>();
        let x = batch.column(2).as_primitive::<Float64Type>();
        let scaled: Int64Array = n.iter().zip(x).map(|(n, x)| Some(n? * (x? as i64))).collect();
        Ok(RecordBatch::try_new(
            returned.clone(),
            vec![batch.column(0).clone(), Arc::new(scaled) as ArrayRef],
        )?)
    });
    let mapped = builder.map_batches(stream, schema, scale);
    let windows = mapped.clone().window(tumbling(seconds(25))).unwrap();
    let windows = windows.group_by(["k"]).unwrap().aggregate([sum(col("scaled")).alias("sum")]).unwrap();
    builder.output(&mapped, true);
    builder.output(&windows, true);
    builder.build()
}

/// Grouping without windows, over results of windows: one result at the end.
pub(crate) fn global(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("group by without windows");
    let start = events(&mut builder, 10, rows, partitions);
    let all = start.clone().group_by(["k", "b"]).unwrap();
    let all = all
        .aggregate([count().alias("rows"), avg(col("m")).alias("m"), min(col("t")).alias("first")])
        .unwrap();
    let windows = start.window(tumbling(seconds(20))).unwrap().group_by(["d"]).unwrap();
    let windows = windows.aggregate([sum(col("n")).alias("n")]).unwrap();
    let best = windows.group_by(["d"]).unwrap().aggregate([max(col("n")).alias("best")]).unwrap();
    builder.output(&all, true);
    builder.output(&best, true);
    builder.build()
}

/// Float sums that round: within their bound.
pub(crate) fn float_sums(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("float sums");
    let windows = events(&mut builder, 11, rows, partitions)
        .with_columns([col("r").cast(DataType::Float32).alias("narrow")])
        .unwrap()
        .window(tumbling(seconds(60)))
        .unwrap()
        .group_by(["m"])
        .unwrap()
        .aggregate([
            sum(col("r")).alias("sum"),
            avg(col("r")).alias("mean"),
            sum(col("narrow")).alias("narrow_sum"),
            max(col("r")).alias("most"),
        ])
        .unwrap();
    builder.output(&windows, true);
    builder.build()
}

/// Every family of aggregate functions, filtered and not, with and without windows.
pub(crate) fn aggregates(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("aggregates of every family");
    let start = events(&mut builder, 15, rows, partitions).with_functions(random::functions());
    let all = || {
        let late = col("n").gt(120);
        [
            count_distinct(col("m")).alias("kinds"),
            count_distinct(col("d")).filter(late.clone()).alias("late_kinds"),
            approx_count_distinct(col("n")).alias("about"),
            approx_quantile(col("r"), 0.9).alias("most"),
            bool_and(col("b")).alias("all"),
            bool_or(col("b").and(late.clone())).alias("any"),
            first(col("x")).alias("first"),
            last(col("d")).filter(col("d").is_not_null()).alias("last"),
            string_agg(col("k"), "|").filter(late.clone()).alias("where"),
            var_samp(col("n")).alias("variance"),
            stddev_pop(col("r")).alias("deviation"),
            covar_samp(col("n"), col("m")).alias("both"),
            corr(col("n"), col("r")).alias("related"),
            call_aggregate("spread", 1, [col("n")]).alias("spread"),
            sum(lit(1_000) / (col("n") - 120)).filter(late).alias("guarded"),
        ]
    };
    let windows = start.clone().window(tumbling(seconds(60)).allowed_lateness(seconds(3))).unwrap();
    builder.output(&windows.group_by(["m"]).unwrap().aggregate(all()).unwrap(), true);
    builder.output(&start.group_by(["k"]).unwrap().aggregate(all()).unwrap(), true);
    builder.build()
}

/// First and last where rows meet their copies, and over results of windows.
pub(crate) fn ordered(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("ordered aggregates");
    let start = events(&mut builder, 16, rows, partitions).select([col("k"), col("n"), col("d")]).unwrap();
    let other = start.clone().with_columns([(col("n") + 1_000).alias("n")]).unwrap();
    let both = start.clone().union(&other).unwrap();
    let ends = [
        first(col("n")).alias("first"),
        last(col("n")).alias("last"),
        string_agg(col("d").cast(DataType::Utf8), "").alias("all"),
    ];
    let ends = both.window(tumbling(seconds(30))).unwrap().group_by(["k"]).unwrap().aggregate(ends).unwrap();
    builder.output(&ends, true);
    let fine = start.window(tumbling(seconds(10))).unwrap().group_by(["k", "n"]).unwrap();
    let fine = fine.aggregate([count().alias("rows")]).unwrap();
    let coarse = fine.window(tumbling(seconds(100))).unwrap().group_by(["rows"]).unwrap();
    let coarse = coarse.aggregate([first(col("n")).alias("first"), last(col("k")).alias("last")]).unwrap();
    builder.output(&coarse, true);
    builder.build()
}

/// Keys of many types: floats with two zeros and NaN, dates, times, decimals, long strings.
pub(crate) fn keys(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("keys of many types");
    let odd = when(col("n").gt(150))
        .then(lit(f64::NAN))
        .when(col("n").gt(100))
        .then(lit(-0.0))
        .when(col("n").gt(50))
        .then(lit(0.0))
        .otherwise(col("n").cast(DataType::Float64));
    let start = events(&mut builder, 13, rows, partitions)
        .with_columns([
            odd.alias("odd"),
            col("k").cast(DataType::LargeUtf8).alias("long"),
            col("t").cast(DataType::Date32).alias("day"),
            col("t").date_trunc(sabot::TruncUnit::Minute).alias("minute"),
            (col("n") % 3).cast(DataType::Int8).alias("small"),
            (col("n") + 60).cast(DataType::UInt64).alias("unsigned"),
        ])
        .unwrap();
    for (number, by) in
        [vec!["odd"], vec!["long", "day"], vec!["minute", "b"], vec!["small", "d"], vec!["unsigned"]]
            .into_iter()
            .enumerate()
    {
        let grouped = match number % 2 {
            0 => start.clone().window(tumbling(seconds(120))).unwrap().group_by(by).unwrap(),
            _ => start.clone().group_by(by).unwrap(),
        };
        let grouped = grouped.aggregate([count().alias("rows"), min(col("odd")).alias("least")]).unwrap();
        builder.output(&grouped, true);
    }
    builder.build()
}

/// Event times in every unit, and in a zone.
pub(crate) fn times(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("event times of every type");
    let mut rng = ChaCha8Rng::seed_from_u64(14);
    let zone = Some("Europe/Zurich".into());
    let types = [
        DataType::Timestamp(TimeUnit::Second, None),
        DataType::Timestamp(TimeUnit::Millisecond, Some("+00:00".into())),
        DataType::Timestamp(TimeUnit::Microsecond, zone),
        DataType::Timestamp(TimeUnit::Nanosecond, None),
        DataType::Date32,
    ];
    for data_type in types {
        let mut fields = data::schema().fields().to_vec();
        fields[0] = Arc::new(Field::new("t", data_type.clone(), false));
        let schema = Arc::new(Schema::new(fields));
        let convert = |batch: RecordBatch| {
            let mut columns = batch.columns().to_vec();
            columns[0] = cast(&columns[0], &data_type).unwrap();
            RecordBatch::try_new(schema.clone(), columns).unwrap()
        };
        let rows = data::events(&mut rng, rows / 4, partitions);
        let rows = rows.into_iter().map(|batches| batches.into_iter().map(convert).collect()).collect();
        let stream = builder.source(schema.clone(), rows);
        let stream = stream.event_time("t", out_of_orderness(micros(data::OUT_OF_ORDERNESS))).unwrap();
        let (windows, late) = stream
            .window(tumbling(seconds(30)))
            .unwrap()
            .group_by(["k"])
            .unwrap()
            .aggregate([count().alias("rows"), max(col("t")).alias("last")])
            .unwrap()
            .split_late()
            .unwrap();
        builder.output(&windows, true);
        builder.output(&late, true);
    }
    builder.build()
}

/// A diamond: one stream forked, changed in both branches, and joined again; rows meet their copies.
pub(crate) fn diamond(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("diamond");
    let start = events(&mut builder, 12, rows, partitions).select([col("k"), col("n")]).unwrap();
    let left = start.clone().with_columns([(col("n") + 1_000).alias("n")]).unwrap();
    let right = start.filter(col("n").gt(50)).unwrap();
    let both = left.union(&right).unwrap();
    let windows = both.clone().window(tumbling(seconds(40))).unwrap().group_by(["k"]).unwrap();
    let (windows, late) = windows.aggregate([sum(col("n")).alias("n")]).unwrap().split_late().unwrap();
    builder.output(&both, true);
    builder.output(&windows, true);
    builder.output(&late, true);
    builder.build()
}
