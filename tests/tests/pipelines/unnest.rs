//! Pipelines with lists that become rows.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sabot::{
    Stream, array_agg, asc, col, count, desc, elements, max, micros, out_of_orderness, seconds, sum, tumbling,
};
use sabot_expr::types::list_item;
use sabot_tests::{Case, CaseBuilder, data};

use crate::everywhere::everywhere;
use crate::plans::events;

fn payload(builder: &mut CaseBuilder, seed: u64, rows: usize, partitions: usize) -> Stream {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let stream = builder.source(data::payload_schema(), data::payload(&mut rng, rows, partitions));
    stream.event_time("t", out_of_orderness(micros(data::OUT_OF_ORDERNESS))).unwrap()
}

/// The names of the columns of lists, with those of their elements' types.
fn lists() -> Vec<String> {
    let schema = data::payload_schema();
    let lists = schema.fields().iter().filter(|field| list_item(field.data_type()).is_some());
    lists.map(|field| field.name().clone()).collect()
}

/// Elements of one column through what can follow: a filter, windows with their late rows, a union, another
/// unnest, a limit.
pub(crate) fn unnest(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("unnest");
    let start = payload(&mut builder, 31, rows, partitions);
    let lists = lists();
    let (ints, texts) = (lists[0].as_str(), lists[1].as_str());
    let flat = start
        .clone()
        .select([col("t"), col("k"), col("n"), col(ints), col(texts)])
        .unwrap()
        .unnest(elements(ints).alias("element").position("nth"))
        .unwrap();
    let windows = flat.clone().filter(col("element").is_not_null()).unwrap();
    let windows = windows.window(tumbling(seconds(60))).unwrap().group_by(["k", "nth"]).unwrap();
    let (windows, late) = windows
        .aggregate([count().alias("rows"), max(col("element")).alias("most"), sum(col("n")).alias("n")])
        .unwrap()
        .split_late()
        .unwrap();
    let twice = flat.clone().unnest(elements(texts).alias("text").keep_empty()).unwrap();
    let both = flat.clone().select([col("n"), col("nth")]).unwrap();
    let both = both.union(&twice.clone().select([col("n"), col("nth")]).unwrap()).unwrap();
    builder.output(&flat, true);
    builder.output(&windows, true);
    builder.output(&late, true);
    builder.output(&twice.limit(rows as u64 / 2).unwrap(), true);
    builder.output(&both, true);
    builder.build()
}

/// Each column of lists by itself, without and with rows for lists that are null or empty; some results
/// without the elements, or without anything else.
pub(crate) fn every_type(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("unnest every type");
    let start = payload(&mut builder, 32, rows / 4, partitions);
    for (number, list) in lists().into_iter().enumerate() {
        let request = match number % 3 {
            0 => elements(&list).keep_empty(),
            1 => elements(&list).position("nth"),
            _ => elements(&list).position("nth").keep_empty(),
        };
        let flat = start.clone().unnest(request).unwrap();
        builder.output(&flat.clone().select([col("n"), col(list.as_str())]).unwrap(), true);
        match number % 3 {
            0 => builder.output(&flat.select([col("n")]).unwrap(), true),
            1 => builder.output(&flat.select([col("nth")]).unwrap(), true),
            _ => builder.output(&flat.group_by::<&str>([]).unwrap().aggregate([count()]).unwrap(), true),
        }
    }
    builder.build()
}

/// Lists that were made of rows become rows again: in their windows, which close when they close.
pub(crate) fn results(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("unnest results");
    let windows = events(&mut builder, 33, rows, partitions)
        .window(tumbling(seconds(60)))
        .unwrap()
        .group_by(["k"])
        .unwrap()
        .aggregate([array_agg(col("m")).alias("m"), count().alias("rows")])
        .unwrap();
    let flat = windows.unnest(elements("m").position("nth")).unwrap();
    let top = flat.clone().top_n(4, [desc("m"), asc("k"), asc("nth")]).unwrap();
    let again = flat.clone().window(tumbling(seconds(300))).unwrap().group_by(["m"]).unwrap();
    let again = again.aggregate([count().alias("rows")]).unwrap();
    builder.output(&flat, true);
    builder.output(&top, true);
    builder.output(&again, true);
    builder.build()
}

#[test]
fn lists_become_rows() {
    everywhere(unnest);
}

#[test]
fn lists_of_every_type() {
    everywhere(every_type);
}

#[test]
fn lists_of_windows() {
    everywhere(results);
}
