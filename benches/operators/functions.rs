//! Built-in functions beside arrow-rs: a regular expression, the hour in a time zone, a sine.

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::compute::{DatePart, cast, date_part, filter_record_batch, regexp_is_match_scalar};
use arrow::datatypes::{DataType, Float64Type};
use criterion::Criterion;
use sabot_benches::checksum::{self, Row};
use sabot_benches::kernel::Runner;
use sabot_benches::{Contest, Size, data};
use sabot_expr::{Expr, FunctionRegistry, col, resolve};
use sabot_ops::{FilterProjectSpec, Projection};
use std::sync::Arc;

const ZONE: &str = "Europe/Zurich";
const PATTERN: &str = "[A-E]{2}";
/// Twenty years after 1990 in microseconds.
const YEARS: std::ops::Range<i64> = 631_152_000_000_000..1_262_304_000_000_000;

pub(crate) fn benchmarks(criterion: &mut Criterion) {
    let Size { rows, morsel_rows } = Size::of_this_run();
    let texts = data::texts(1, rows, 600, 2);
    let numbers = data::ints(2, rows, 0..1_000);
    let times = TimestampMicrosecondArray::from(data::ints(3, rows, YEARS)).with_timezone(ZONE);
    let angles = data::floats(4, rows);
    let batch = data::batch([
        ("text", Arc::new(StringArray::from(texts.clone())) as ArrayRef),
        ("number", Arc::new(Int64Array::from(numbers.clone()))),
        ("time", Arc::new(times)),
        ("angle", Arc::new(Float64Array::from(angles.clone()))),
    ]);
    let bytes = |column: usize| batch.column(column).get_buffer_memory_size() as u64;

    let two_low_letters = |text: &str| {
        let low = |c: &u8| (b'A'..=b'E').contains(c);
        text.as_bytes().windows(2).any(|pair| pair.iter().all(low))
    };
    let kept = (0..rows).filter(|i| two_low_letters(&texts[*i]));
    let matches = checksum::of_rows(kept.map(|i| Row::new().int(numbers[i])));
    let matching = Some(col("text").regexp_matches(PATTERN));
    beside(
        criterion,
        "regexp_matches",
        &batch,
        bytes(0),
        matches,
        morsel_rows,
        matching,
        col("number"),
        |morsel| {
            let keep: BooleanArray =
                regexp_is_match_scalar(morsel.column(0).as_string::<i32>(), PATTERN, None)?;
            let number = RecordBatch::try_from_iter([("value", morsel.column(1).clone())])?;
            filter_record_batch(&number, &keep)
        },
    );

    let zone = sabot_expr::temporal::Zone::parse(ZONE).expect("a zone of the database");
    let hour = |tick: i64| {
        let second = tick.div_euclid(1_000_000);
        Row::new().int((second + zone.offset(second)).rem_euclid(86_400) / 3_600)
    };
    let hours = checksum::of_rows(data::ints(3, rows, YEARS).into_iter().map(hour));
    beside(
        criterion,
        "hour in a zone",
        &batch,
        bytes(2),
        hours,
        morsel_rows,
        None,
        col("time").hour(),
        |morsel| {
            let hours = cast(date_part(morsel.column(2), DatePart::Hour)?.as_ref(), &DataType::Int64)?;
            RecordBatch::try_from_iter([("value", hours)])
        },
    );

    let sines = checksum::of_rows(angles.iter().map(|angle| Row::new().float(angle.sin())));
    beside(criterion, "sin", &batch, bytes(3), sines, morsel_rows, None, col("angle").sin(), |morsel| {
        let sines = morsel.column(3).as_primitive::<Float64Type>().unary::<_, Float64Type>(f64::sin);
        RecordBatch::try_from_iter([("value", Arc::new(sines) as ArrayRef)])
    });
}

/// `select value from batch where predicate`, and the same by arrow-rs.
#[allow(clippy::too_many_arguments, reason = "what is compared, and with what")]
fn beside(
    criterion: &mut Criterion,
    name: &str,
    batch: &RecordBatch,
    bytes: u64,
    expected: u64,
    morsel_rows: usize,
    predicate: Option<Expr>,
    value: Expr,
    by_arrow: impl Fn(&RecordBatch) -> Result<RecordBatch, arrow::error::ArrowError>,
) {
    let morsels = data::morsels(batch, morsel_rows);
    let typed =
        |expr: &Expr| resolve(expr, &batch.schema(), &FunctionRegistry::new()).expect("columns of the batch");
    let spec = FilterProjectSpec {
        predicate: predicate.as_ref().map(typed),
        projections: vec![Projection { name: "value".into(), expr: typed(&value) }],
        carried: vec![],
    };
    let mut runner = Runner::new(&batch.schema(), spec, morsel_rows);
    let contest =
        Contest { group: "functions", name: name.to_owned(), rows: batch.num_rows() as u64, bytes, expected };
    let sum = |rows: &Vec<RecordBatch>| checksum::of_batches(rows.iter().map(|batch| (Row::new(), batch)));
    let peer = || -> Vec<RecordBatch> {
        let results = morsels.iter().map(&by_arrow);
        results.collect::<Result<_, _>>().expect("columns that arrow-rs can compute with")
    };
    contest.with_peer(criterion, (|| runner.rows(&morsels), sum), "arrow-rs", (peer, sum));
}
