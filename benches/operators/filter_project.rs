//! Filter-project beside arrow-rs: a comparison, two sums over the rows that stay, three selectivities.

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, Scalar};
use arrow::compute::filter_record_batch;
use arrow::compute::kernels::{cmp, numeric};
use arrow::error::ArrowError;
use criterion::Criterion;
use sabot_benches::checksum::{self, Row};
use sabot_benches::kernel::Runner;
use sabot_benches::{Contest, Size, data};
use sabot_expr::{FunctionRegistry, col, resolve};
use sabot_ops::{FilterProjectSpec, Projection};
use std::sync::Arc;

/// `pick` is spread evenly over 0..1000, so a bound of 10 keeps one row in a hundred.
const BOUNDS: [(i64, &str); 3] = [(10, "1 % kept"), (500, "50 % kept"), (990, "99 % kept")];

pub(crate) fn benchmarks(criterion: &mut Criterion) {
    let Size { rows, morsel_rows } = Size::of_this_run();
    let pick = data::ints(1, rows, 0..1000);
    let quantity = data::ints(2, rows, -50..50);
    let price = data::floats(3, rows);
    let batch = data::batch([
        ("pick", Arc::new(Int64Array::from(pick.clone())) as ArrayRef),
        ("quantity", Arc::new(Int64Array::from(quantity.clone()))),
        ("price", Arc::new(Float64Array::from(price.clone()))),
    ]);
    let morsels = data::morsels(&batch, morsel_rows);
    for (bound, name) in BOUNDS {
        let kept = (0..rows).filter(|i| pick[*i] < bound);
        let row = |i: usize| Row::new().int(pick[i]).int(quantity[i] + pick[i]).float(price[i] * 1.5);
        let contest = Contest {
            group: "filter_project",
            name: name.to_owned(),
            rows: rows as u64,
            bytes: data::bytes(&morsels),
            expected: checksum::of_rows(kept.map(row)),
        };
        let mut runner = Runner::new(&batch.schema(), spec(&batch, bound), morsel_rows);
        let bound = Int64Array::new_scalar(bound);
        let by_arrow = || -> Vec<RecordBatch> {
            let results = morsels.iter().map(|morsel| with_arrow(morsel, &bound));
            results.collect::<Result<_, _>>().expect("columns that arrow-rs can compute with")
        };
        let sum =
            |rows: &Vec<RecordBatch>| checksum::of_batches(rows.iter().map(|batch| (Row::new(), batch)));
        contest.with_peer(criterion, (|| runner.rows(&morsels), sum), "arrow-rs", (by_arrow, sum));
    }
}

/// `select pick, quantity + pick as total, price * 1.5 as gross where pick < bound`.
fn spec(batch: &RecordBatch, bound: i64) -> FilterProjectSpec {
    let typed =
        |expr| resolve(&expr, &batch.schema(), &FunctionRegistry::new()).expect("columns of the batch");
    let projection = |name: &str, expr| Projection { name: name.into(), expr: typed(expr) };
    FilterProjectSpec {
        predicate: Some(typed(col("pick").lt(bound))),
        projections: vec![
            projection("pick", col("pick")),
            projection("total", col("quantity") + col("pick")),
            projection("gross", col("price") * 1.5),
        ],
        carried: vec![],
    }
}

/// The same with arrow-rs: filter all columns at once, then compute. Its `add` checks for overflow too.
fn with_arrow(batch: &RecordBatch, bound: &Scalar<Int64Array>) -> Result<RecordBatch, ArrowError> {
    let kept = filter_record_batch(batch, &cmp::lt(batch.column(0), bound)?)?;
    let (pick, quantity, price) = (kept.column(0), kept.column(1), kept.column(2));
    let total = numeric::add(quantity, pick)?;
    let gross = numeric::mul(price, &Float64Array::new_scalar(1.5))?;
    RecordBatch::try_from_iter([("pick", pick.clone()), ("total", total), ("gross", gross)])
}
