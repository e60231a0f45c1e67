//! Pipelines in which a model says something of each row.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sabot::{avg, col, count, lag, margin, prediction, range, reasons, seconds, tumbling, whole};
use sabot_ops::conformance::tree_model;
use sabot_tests::{Case, CaseBuilder};
use std::sync::Arc;

use crate::everywhere::everywhere;
use crate::plans::events;

/// Values over rows before go into a model; what it says goes through a fork into a filter, windows, and sinks of
/// which only one reads its reasons.
pub(crate) fn predict(rows: usize, partitions: usize) -> Case {
    let mut builder = CaseBuilder::new("predict");
    let start = events(&mut builder, 35, rows / 3, partitions);
    let features = start
        .with_columns([
            count().over(["k"], range(seconds(40))).alias("recent"),
            avg(col("x")).over(["k"], range(seconds(40))).alias("mean"),
            lag("m", 1).over(["k"], whole()).alias("before"),
        ])
        .unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(36);
    let names = ["mean", "before", "n", "recent"].map(str::to_owned).to_vec();
    let models = [(); 2].map(|()| Arc::new(tree_model(&mut rng, names.clone())));
    let values = [prediction().alias("score"), margin().alias("sum"), reasons(2).alias("why")];
    let scored = features.predict(&models[0], values).unwrap();
    let twice = scored.clone().predict(&models[1], [margin().alias("other")]).unwrap();
    let alerts = twice.filter(col("sum").gt(0).or(col("other").gt(col("sum")))).unwrap();
    let windows = scored.clone().window(tumbling(seconds(60))).unwrap().group_by(["k"]).unwrap();
    let windows = windows.aggregate([count().filter(col("sum").gt(0.5)).alias("high")]).unwrap();
    builder.output(&alerts.select(["t", "n", "other", "why"].map(col)).unwrap(), true);
    builder.output(&scored.clone().select(["n", "score"].map(col)).unwrap(), true);
    // Nobody reads what the model says.
    builder.output(&scored.select(["n", "recent"].map(col)).unwrap(), true);
    builder.output(&windows, true);
    builder.build()
}

#[test]
fn models_say_something_of_rows() {
    everywhere(predict);
}
