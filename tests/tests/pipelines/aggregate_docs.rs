//! `docs/aggregates.md` says what the functions do: the page is made of their table, and its examples are run.

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::record_batch::RecordBatch;
use arrow::util::display::array_value_to_string;
use sabot::prelude::*;
use sabot_ops::{AggregateInfo, CATALOG};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/aggregates.md");

/// The part of the page that is made of the table.
fn render() -> String {
    let mut page = String::from("\n| call | gives | example | result |\n|---|---|---|---|\n");
    for info in CATALOG {
        let AggregateInfo { call, summary, example, example_result, .. } = info;
        writeln!(page, "| `{call}` | {summary} | `{example}` | `{example_result}` |").unwrap();
    }
    for info in CATALOG {
        let AggregateInfo { name, arguments, result, nulls, exactness, state, .. } = info;
        write!(
            page,
            "\n### {name}\n\n- takes {arguments}\n- gives {result}\n- nulls: {nulls}\n- exactness and errors: {exactness}\n\
             - partial state: {state}\n"
        )
        .unwrap();
    }
    page
}

#[test]
fn the_page_is_made_of_the_table() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (_, functions) = page.split_once("\n## Functions\n").expect("the page has its heading");
    if functions != render() {
        let right = Path::new(env!("CARGO_TARGET_TMPDIR")).join("aggregates.md");
        let (head, _) = page.split_once("\n## Functions\n").unwrap();
        std::fs::write(&right, format!("{head}\n## Functions\n{}", render())).unwrap();
        panic!(
            "docs/aggregates.md differs from the table of functions; what it should be: {}",
            right.display()
        );
    }
}

/// The rows that the page shows.
fn rows() -> RecordBatch {
    let hours = (8..12).map(|hour| hour * 3_600_000_000);
    let columns: [(&str, ArrayRef); 5] = [
        ("departure", Arc::new(TimestampMicrosecondArray::from_iter_values(hours))),
        ("tail", Arc::new(StringArray::from(vec![Some("N1"), None, Some("N2"), Some("N3")]))),
        ("delay", Arc::new(Int64Array::from(vec![Some(5), None, Some(20), Some(5)]))),
        ("gate", Arc::new(Int64Array::from(vec![5, 9, 2, 2]))),
        ("on_time", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, Some(true)]))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

macro_rules! calls {
    ($($call:expr),* $(,)?) => { vec![$((stringify!($call), $call)),*] };
}

#[test]
fn examples_give_what_the_page_says() {
    let calls = calls![
        count_of(col("delay")),
        count_distinct(col("delay")),
        approx_count_distinct(col("delay")),
        sum(col("delay")),
        avg(col("delay")),
        min(col("delay")),
        max(col("delay")),
        bool_and(col("on_time")),
        bool_or(col("on_time")),
        first(col("tail")),
        last(col("tail")),
        array_agg(col("delay")),
        string_agg(col("tail"), ", "),
        var_samp(col("delay")),
        var_pop(col("delay")),
        stddev_samp(col("delay")),
        stddev_pop(col("delay")),
        covar_samp(col("delay"), col("gate")),
        covar_pop(col("delay"), col("gate")),
        corr(col("delay"), col("gate")),
        approx_quantile(col("delay"), 0.5),
    ];
    assert_eq!(calls.len(), CATALOG.len());
    let bare = |text: &str| text.split_whitespace().collect::<String>();
    for (info, (text, call)) in CATALOG.iter().zip(calls) {
        assert_eq!(bare(info.example), bare(text));
        assert_eq!(call.function.name(), info.name);
        let stream = Stream::from_batches([rows()]).unwrap().event_time("departure", in_order()).unwrap();
        let result = stream.group_by::<&str>([]).unwrap().aggregate([call.alias("result")]).unwrap();
        let batches = result.collect().unwrap();
        let shown = array_value_to_string(batches[0].column(0), 0).unwrap();
        assert_eq!(shown, info.example_result, "{}", info.example);
    }
}
