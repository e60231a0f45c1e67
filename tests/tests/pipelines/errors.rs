//! Rows that cannot be computed: the same error in every setting, and only for rows that get there.

use arrow::datatypes::DataType;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sabot::{Stream, col, lit, micros, out_of_orderness, seconds, sum, tumbling};
use sabot_tests::{Case, CaseBuilder, Device, Settings, data};

fn events(builder: &mut CaseBuilder, rows: usize, partitions: usize) -> Stream {
    let rows = data::events(&mut ChaCha8Rng::seed_from_u64(21), rows, partitions);
    let stream = builder.source(data::schema(), rows);
    stream.event_time("t", out_of_orderness(micros(data::OUT_OF_ORDERNESS))).unwrap()
}

fn everywhere(make: impl Fn(usize) -> Case, fails: bool) {
    for partitions in [1, 4] {
        let case = make(partitions);
        assert_eq!(!case.outcome().failures.is_empty(), fails);
        let all = [Device::Cpu, Device::Late, Device::Refusing].map(Settings::all).concat();
        for setting in all.into_iter().chain(Settings::some(Device::Gpu, partitions)) {
            case.check(&setting.engine(), &setting);
        }
    }
}

/// The job fails with the first such row of its partition, named by row number and values.
#[test]
fn the_first_row_of_a_partition_is_reported() {
    let make = |partitions| {
        let mut builder = CaseBuilder::new("division by zero");
        let stream = events(&mut builder, 600, partitions).filter(col("b").is_not_null()).unwrap();
        let stream =
            stream.with_columns([(lit(1_000i64) / (col("m").cast(DataType::Int64) - 5)).alias("q")]).unwrap();
        builder.output(&stream, true);
        builder.build()
    };
    everywhere(make, true);
}

#[test]
fn rows_that_a_filter_drops_have_no_error() {
    let make = |partitions| {
        let mut builder = CaseBuilder::new("division behind a filter");
        let stream = events(&mut builder, 400, partitions).filter(col("m").not_eq(5)).unwrap();
        let stream =
            stream.with_columns([(lit(1_000i64) / (col("m").cast(DataType::Int64) - 5)).alias("q")]).unwrap();
        let windows = stream.window(tumbling(seconds(30))).unwrap().group_by(["k"]).unwrap();
        builder.output(&windows.aggregate([sum(col("q")).alias("q")]).unwrap(), true);
        builder.build()
    };
    everywhere(make, false);
}
