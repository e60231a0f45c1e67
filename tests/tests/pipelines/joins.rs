//! Pipelines that join, in every setting.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sabot::arrow::datatypes::{DataType, TimeUnit};
use sabot::{
    Stream, Table, col, count, lit, micros, null, on, out_of_orderness, seconds, sum, tumbling, when,
};
use sabot_tests::{Case, CaseBuilder, data};

use crate::everywhere::everywhere;

fn rows(builder: &mut CaseBuilder, seed: u64, rows: usize, partitions: usize) -> Stream {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let rows = data::events(&mut rng, rows, partitions);
    builder.source(data::schema(), rows)
}

fn events(builder: &mut CaseBuilder, seed: u64, count: usize, partitions: usize) -> Stream {
    let delay = out_of_orderness(micros(data::OUT_OF_ORDERNESS));
    rows(builder, seed, count, partitions).event_time("t", delay).unwrap()
}

/// The columns of the right side under names of their own.
fn renamed(stream: Stream) -> Stream {
    let columns = ["k", "m", "n", "x", "b"].map(|name| col(name).alias(format!("r{name}")));
    stream.select(columns).unwrap()
}

/// A table beside a stream: looked up raw, and behind a window; with duplicates, nulls, and a condition.
pub(crate) fn lookup(count: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("look-ups in a table");
    let stream = events(&mut builder, 21, count / 2, partitions);
    let table = renamed(rows(&mut builder, 22, 40, 2));
    let table = Table::from_stream(table.filter(col("rn").gt(0)).unwrap()).unwrap();
    let named = stream
        .clone()
        .lookup_join(&table, on("k", "rk").and("m", "rm"), ["rn", "rx"])
        .unwrap()
        .filter(col("rn").is_null().or(col("n").lt(col("rn"))))
        .unwrap();
    let near = on("k", "rk").inner().filter((col("n") - col("other")).between(lit(-9), lit(9)));
    let near = stream.clone().lookup_join(&table, near, [col("rn").alias("other")]).unwrap();
    let windows = stream.window(tumbling(seconds(30))).unwrap().group_by(["k"]).unwrap();
    let windows = windows.aggregate([sabot::count().alias("rows"), sum(col("n")).alias("n")]).unwrap();
    let windows = windows.lookup_join(&table, on("k", "rk"), ["rm"]).unwrap();
    builder.output(&named, true);
    builder.output(&near, true);
    builder.output(&near, false);
    builder.output(&windows, true);
    builder.build()
}

/// Every kind of join of two sources, and what follows one.
pub(crate) fn kinds(count: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("joins of every kind");
    let left = events(&mut builder, 23, count / 4, partitions);
    let right = renamed(rows(&mut builder, 24, count / 20 + 5, partitions));
    let keys = || on("k", "rk").and("m", "rm");
    for key in [keys().inner(), keys().left(), keys().right(), keys().full(), keys().semi(), keys().anti()] {
        let joined = left.clone().join(&right, key).unwrap();
        builder.output(&joined, true);
    }
    let condition = keys().full().filter(col("b").or(col("n").gt(col("rn"))));
    let joined = left.clone().join(&right, condition).unwrap();
    builder.output(&joined, true);
    let joined = left.join(&right, keys().left()).unwrap();
    let windows = joined.window(tumbling(seconds(40))).unwrap().group_by(["rk"]).unwrap();
    builder
        .output(&windows.aggregate([self::count().alias("rows"), sum(col("rn")).alias("rn")]).unwrap(), true);
    builder.build()
}

/// One stream on both sides, and two joins that would wait for each other.
pub(crate) fn shared(count: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("joins of what they share");
    let a = events(&mut builder, 25, count / 6, partitions);
    let b = rows(&mut builder, 26, count / 12 + 1, partitions);
    let own = a.clone().join(&renamed(a.clone()).filter(col("rb")).unwrap(), on("n", "rn").left()).unwrap();
    let table = Table::from_stream(renamed(a.clone())).unwrap();
    let looked_up = a.clone().lookup_join(&table, on("n", "rn").inner(), ["rx"]).unwrap();
    let one = a.clone().join(&renamed(b.clone()), on("n", "rn")).unwrap();
    let other = b.join(&renamed(a), on("n", "rn").full()).unwrap();
    for stream in [own, looked_up, one, other] {
        builder.output(&stream, true);
    }
    builder.build()
}

/// Joins without keys, broadcast joins, joins of joins, and keys that are computed or of other types.
pub(crate) fn more(count: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("more joins");
    let left = events(&mut builder, 27, count / 8, partitions);
    let few = renamed(rows(&mut builder, 28, 6, partitions));
    let crossed = left.clone().cross_join(&few).unwrap();
    let broadcast = left.clone().join(&few, on("d", "rk").broadcast().left()).unwrap();
    let anti = left.clone().join(&few, on(col("n") % 50, "rn").broadcast().anti()).unwrap();
    let twice = left.clone().join(&few, on("k", "rk").left()).unwrap();
    let again = rows(&mut builder, 29, 20, 1).select([col("n").alias("rn"), col("d").alias("rk")]).unwrap();
    let twice = twice.join(&again, on("rn", "rn").and("rk", "rk").full()).unwrap();
    let same = rows(&mut builder, 30, 30, 2).select([col("m").cast(DataType::Int64).alias("n"), col("x")]);
    let same = left.join(&same.unwrap(), on("n", "n").right().suffix("_right")).unwrap();
    for stream in [crossed, broadcast, anti, twice, same] {
        builder.output(&stream, true);
    }
    builder.build()
}

/// As-of joins both ways, with and without tolerance and keys, by times of different units.
pub(crate) fn asof(count: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("as-of joins");
    let left = events(&mut builder, 31, count / 4, partitions);
    let seconds_only = DataType::Timestamp(TimeUnit::Second, None);
    let right = rows(&mut builder, 32, count / 16 + 3, partitions)
        .select([
            when(col("b").is_null()).then(null()).otherwise(col("t")).cast(seconds_only).alias("at"),
            col("k").alias("rk"),
            col("m").alias("rm"),
        ])
        .unwrap();
    for key in [
        on("k", "rk"),
        on("k", "rk").forward().inner(),
        on("k", "rk").and("m", "rm").within(seconds(20)),
        on("m", "rm").forward().within(seconds(3)).filter(col("k").eq(col("rk"))),
        on("m", "rm").broadcast().anti(),
    ] {
        builder.output(&left.clone().asof_join(&right, ("t", "at"), key).unwrap(), true);
    }
    builder.build()
}

#[test]
fn as_of_joins() {
    everywhere(asof);
}

#[test]
fn look_ups_in_a_table() {
    everywhere(lookup);
}

#[test]
fn joins_of_every_kind() {
    everywhere(kinds);
}

#[test]
fn joins_of_what_they_share() {
    everywhere(shared);
}

#[test]
fn more_joins() {
    everywhere(more);
}
