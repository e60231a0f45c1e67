//! Pipelines whose results depend on the order of rows.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sabot::{
    Keep, Stream, asc, avg, col, count, count_distinct, count_of, dense_rank, desc, first_value, lag,
    last_value, lead, lit, max, micros, min, out_of_orderness, range, range_between, rank, row_number,
    rows_between, running, seconds, sum, tumbling, whole,
};
use sabot_connect::Boundedness;
use sabot_tests::{Case, CaseBuilder, Device, Settings, data};
use std::time::Duration;

use crate::everywhere::everywhere;
use crate::plans::events;

fn windows(stream: Stream) -> Stream {
    stream
        .window(tumbling(seconds(60)).allowed_lateness(seconds(4)))
        .unwrap()
        .group_by(["k", "m"])
        .unwrap()
        .aggregate([count().alias("rows"), sum(col("n")).alias("n"), avg(col("x")).alias("mean")])
        .unwrap()
}

/// The first rows of each window, with a filter before and a window over the result behind.
pub(crate) fn top_n(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("top-N of windows");
    let top = windows(events(&mut builder, 21, rows, partitions))
        .filter(col("rows").gt(0).and(col("m").is_null().or(col("m").lt(8))))
        .unwrap()
        // Ties are common: what the keys leave open is the order of the stream.
        .top_n(5, [desc("rows"), asc(col("m") % 2).nulls_first()])
        .unwrap();
    let ranks = top.clone().window(tumbling(seconds(300))).unwrap().group_by(["rank"]).unwrap();
    let ranks = ranks.aggregate([count().alias("rows"), max(col("n")).alias("most")]).unwrap();
    builder.output(&top, true);
    builder.output(&top.select([col("window_start"), col("k")]).unwrap(), true);
    builder.output(&ranks, true);
    builder.build()
}

/// The first rows of each key of each window, and of each key of all windows.
pub(crate) fn top_n_by_key(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("top-N by key");
    let windows = windows(events(&mut builder, 22, rows, partitions));
    let each = windows.clone().top_n_by(["k"], 2, [desc("mean"), asc("m")]).unwrap();
    let all = windows.select([col("k"), col("n"), col("rows")]).unwrap();
    let raw = events(&mut builder, 23, rows / 2, partitions).select([col("k"), col("n"), col("d")]).unwrap();
    let raw = raw.top_n_by([col("d"), col("n") % 3], 3, [desc(col("n")), asc("k").nulls_first()]).unwrap();
    builder.output(&each, true);
    builder.output(&all.top_n_by(["k"], 3, [desc("n")]).unwrap(), true);
    builder.output(&raw, true);
    builder.build()
}

/// A sort, what follows it in its order, and a top-k.
pub(crate) fn sorted(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("sort");
    let start = events(&mut builder, 24, rows, partitions);
    let sorted = start.clone().sort([desc("x"), asc("k").nulls_first(), asc("d")]).unwrap();
    let odd = sorted.clone().filter((col("n") % 2).eq(1)).unwrap().select([col("n"), col("x")]).unwrap();
    let again = sorted.clone().filter(col("b")).unwrap().slice(3, 40).unwrap();
    let top = start.clone().top_k(25, [desc(col("n") * 3), desc("m")]).unwrap();
    let page = windows(start).sort(["rows", "k"]).unwrap().slice(7, 9).unwrap();
    builder.output(&odd, true);
    builder.output(&again, true);
    builder.output(&top, true);
    builder.output(&page, true);
    builder.build()
}

/// Limits of rows, of results, and of a union, in the order of the stream.
pub(crate) fn limits(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("limit");
    let start = events(&mut builder, 25, rows, partitions);
    let other = events(&mut builder, 26, rows / 3, partitions);
    let both = start.clone().union(&other).unwrap();
    builder.output(&start.clone().limit(30).unwrap(), true);
    builder.output(&start.clone().filter(col("n").gt(0)).unwrap().slice(10, 55).unwrap(), false);
    builder.output(&both.slice(rows as u64 / 2, 70).unwrap(), true);
    // Rows that were let through are still late, or on time, for what follows.
    builder.output(&windows(start.limit(rows as u64 / 2).unwrap()).limit(40).unwrap(), true);
    builder.build()
}

/// The first and the last row of each key.
pub(crate) fn unique(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("unique");
    let start = events(&mut builder, 27, rows, partitions);
    builder.output(&start.clone().unique(["k", "m"], Keep::First).unwrap(), true);
    builder.output(&start.clone().unique([col("n") % 5], Keep::Last).unwrap(), true);
    builder.output(&windows(start).unique(["k"], Keep::Last).unwrap(), true);
    builder.build()
}

/// Distinct rows of few and of many kinds.
pub(crate) fn distinct(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("distinct");
    let start = events(&mut builder, 28, rows, partitions);
    let few = start.clone().select([col("k"), col("b"), col("d")]).unwrap().distinct().unwrap();
    let per_key = few.clone().group_by(["k"]).unwrap().aggregate([count().alias("kinds")]).unwrap();
    let many = start.select([(col("x") / 100.0).alias("x"), col("m")]).unwrap().distinct().unwrap();
    builder.output(&few, true);
    builder.output(&per_key, true);
    builder.output(&many, true);
    builder.build()
}

/// Values over the rows around, in the order of event time and in others, and what follows them.
pub(crate) fn over(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("over");
    // The reference looks at every row for every row.
    let start = events(&mut builder, 29, rows / 3, partitions);
    let by_time = start
        .clone()
        .with_columns([
            row_number().over(["k"], whole()).alias("number"),
            lag("n", 2).over(["k"], whole()).alias("before"),
            sum(col("n")).over(["k"], range(seconds(40))).alias("recent"),
            count().over(["k"], running()).alias("rows"),
            max(col("x")).over(["m", "b"], sabot::rows(5)).alias("most"),
            sum(col("n")).filter(col("b")).over(["k"], running()).alias("flagged"),
            // Of a row that does not take part nothing is computed that could fail.
            min(lit(840) / col("n")).filter(col("n").not_eq(0)).over(["d"], sabot::rows(3)).alias("least"),
            count_of(col("x")).filter(col("m").gt(3)).over::<&str>([], whole()).alias("values"),
        ])
        .unwrap();
    let by_keys = start
        .clone()
        .select([col("k"), col("m"), col("n"), col("d")])
        .unwrap()
        .with_columns([
            rank().over(["d"], whole()).order_by([desc("m")]).alias("rank"),
            dense_rank().over(["d"], whole()).order_by([desc("m")]).alias("dense"),
            lead(col("n") + 1, 1).over(["d"], whole()).order_by([desc("m")]).alias("n"),
            last_value("k").over(["d"], running()).order_by([asc("n").nulls_first()]).alias("last"),
        ])
        .unwrap();
    let few = start.clone().filter((col("n") % 9).eq(0)).unwrap().select([col("n"), col("x")]).unwrap();
    let few = few.with_columns([
        row_number().over::<&str>([], whole()).alias("number"),
        min(col("x")).over::<&str>([], running()).alias("least"),
    ]);
    // What follows sees rows that are still as late as they were.
    let after = by_time.clone().filter(col("number").gt(3)).unwrap();
    let after = after.window(tumbling(seconds(60))).unwrap().group_by(["k"]).unwrap();
    let after = after.aggregate([count().alias("rows"), max(col("recent")).alias("most")]).unwrap();
    builder.output(
        &by_time
            .select(
                ["t", "number", "recent", "before", "rows", "most", "flagged", "least", "values"].map(col),
            )
            .unwrap(),
        true,
    );
    builder.output(&by_keys, true);
    builder.output(&few.unwrap(), true);
    builder.output(&after, true);
    builder.build()
}

/// Values over the rows before, with several frames, keys and orders, their late rows, and what follows them.
pub(crate) fn rolling(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("rolling");
    // The reference looks at every row for every row.
    let start = events(&mut builder, 34, rows / 3, partitions);
    let (recent, all) = start
        .with_columns([
            lag("n", 2).over(["k"], whole()).then_by([desc("x"), asc("n")]).alias("before"),
            sum(col("n")).over(["k"], range(seconds(40))).alias("recent"),
            sum(col("n")).over(["k"], range_between(seconds(90), seconds(20))).alias("earlier"),
            avg(col("x")).over(["k"], range(seconds(40))).alias("mean"),
            count_distinct(col("m")).over(["k"], range(seconds(200))).alias("different"),
            avg(col("b")).over(["m", "b"], sabot::rows(5)).alias("share"),
            max(col("x")).over(["m", "b"], rows_between(9, 1)).alias("most"),
            min(lit(840) / col("n")).filter(col("n").not_eq(0)).over(["d"], sabot::rows(3)).alias("least"),
            count_of(col("x")).filter(col("m").gt(3)).over::<&str>([], range(seconds(10))).alias("values"),
            first_value("k").over(["d"], range(seconds(60))).alias("first"),
        ])
        .unwrap()
        .split_late()
        .map(|(rows, late)| (rows.clone(), (rows, late)))
        .unwrap();
    let (rows, late) = all;
    let again = recent.clone().filter(col("recent").gt(0)).unwrap();
    let again =
        again.with_columns([sum(col("recent")).over(["m"], range(seconds(30))).alias("twice")]).unwrap();
    let after = rows.window(tumbling(seconds(60))).unwrap().group_by(["k"]).unwrap();
    let after = after.aggregate([count().alias("rows"), max(col("recent")).alias("most")]).unwrap();
    builder.output(
        &recent.select(["t", "before", "earlier", "mean", "different", "share"].map(col)).unwrap(),
        true,
    );
    builder.output(&again.select(["n", "twice", "most", "least", "values", "first"].map(col)).unwrap(), true);
    builder.output(&late, true);
    builder.output(&after, true);
    builder.build()
}

/// Rows of streams without end leave as the watermark passes them.
#[test]
fn streams_without_end() {
    for (seed, setting) in (30..).zip(Settings::some(Device::Cpu, 0)) {
        let mut builder = CaseBuilder::new("order of streams without end");
        let rows = data::events(&mut ChaCha8Rng::seed_from_u64(seed), 900, 3);
        let stream = builder.channels(data::schema(), rows, Boundedness::Unbounded);
        let delay = out_of_orderness(micros(data::OUT_OF_ORDERNESS)).idle_timeout(Duration::from_secs(3_600));
        let stream = stream.event_time("t", delay).unwrap();
        let kinds = stream.clone().select([col("k"), col("m")]).unwrap().distinct().unwrap();
        builder.output(&kinds, true);
        builder.output(&stream.clone().unique(["k", "d"], Keep::First).unwrap(), false);
        builder.output(&windows(stream.clone()).top_n(3, [desc("n"), asc("m"), asc("k")]).unwrap(), true);
        builder.output(&stream.slice(5, 100).unwrap(), true);
        builder.build().check(&setting.engine(), &setting);
    }
}

#[test]
fn values_over_rows() {
    everywhere(over);
}

#[test]
fn values_over_the_rows_before() {
    everywhere(rolling);
}

#[test]
fn top_n_of_windows() {
    everywhere(top_n);
}

#[test]
fn top_n_of_keys() {
    everywhere(top_n_by_key);
}

#[test]
fn sort_and_what_follows() {
    everywhere(sorted);
}

#[test]
fn limit_and_offset() {
    everywhere(limits);
}

#[test]
fn first_and_last_of_each_key() {
    everywhere(unique);
}

#[test]
fn distinct_rows() {
    everywhere(distinct);
}
