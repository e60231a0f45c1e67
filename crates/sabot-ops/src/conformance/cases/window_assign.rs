//! Window-assign: starts of windows, late rows, times before 1970 and at the ends of time.

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use rand::Rng;
use sabot_batch::{Morsel, hidden};
use sabot_common::Span;
use sabot_time::TumblingWindow;
use std::sync::Arc;

use super::Cases;
use crate::conformance::Equality;
use crate::conformance::bench::{Bench, NotPassed};
use crate::conformance::data::{self, Alive, Dress, Nulls, Values, schema_of, with_hidden};
use crate::{Fragment, WindowAssignSpec};

const HOUR: i64 = 3_600_000_000;

pub(super) fn add(cases: &mut Cases) {
    // Sizes that are and are not powers of two, with an offset, and the smallest there is.
    let windows = [(HOUR, 0), (HOUR, 17), (7_000_000, 3_000_000), (1 << 20, 0), (1, 0)];
    for (size, offset) in windows {
        for allowed in [Span::ZERO, Span::from_secs(5)] {
            let detail = format!("size {}, offset {}, {} late", Span(size), Span(offset), allowed);
            cases.case("window-assign/tumbling", detail, move |bench| {
                let spec = WindowAssignSpec {
                    window: TumblingWindow::new(Span(size), Span(offset))?,
                    allowed_lateness: allowed,
                };
                let fragment = Fragment::new(schema(), vec![spec.into()])?;
                let morsels = morsels(bench, size, false)?;
                bench.check(&fragment, &morsels, &[Equality::Bits; 5])
            });
        }
    }
    cases.cell("window-assign/row-kinds", |bench| {
        let spec = WindowAssignSpec {
            window: TumblingWindow::new(Span(HOUR), Span::ZERO)?,
            allowed_lateness: Span::from_secs(1),
        };
        let fragment = Fragment::new(schema(), vec![spec.into()])?;
        let morsels = morsels(bench, HOUR, true)?;
        bench.check(&fragment, &morsels, &[Equality::Bits; 5])
    });
}

fn schema() -> SchemaRef {
    let columns = schema_of(&[("origin", DataType::Utf8), ("delay", DataType::Float64)]);
    with_hidden(columns, &[hidden::TIME, hidden::LATE, hidden::ROW])
}

fn morsels(bench: &mut Bench<'_>, size: i64, kinds: bool) -> Result<Vec<Morsel>, NotPassed> {
    let mut morsels = Vec::new();
    for rows in bench.sizes() {
        // All on time, some late, all late; times around zero, in one window, and at the ends of time.
        for (lateness, spread) in [(0..=0, 3 * size), (0..=10_000_000, 0), (6_000_000..=i64::MAX, i64::MAX)] {
            let schema = schema();
            let batch = bench.batch(&schema, rows, Nulls::Some, &|_| Values::Mixed)?;
            let times: Vec<i64> = (0..rows)
                .map(|_| match spread {
                    0 => HOUR + 5,
                    i64::MAX if bench.rng.random_bool(0.3) => {
                        [i64::MIN, i64::MAX, i64::MIN + 1][bench.rng.random_range(0..3)]
                    }
                    i64::MAX => bench.rng.random(),
                    spread => bench.rng.random_range(-spread..=spread),
                })
                .collect();
            let late: Vec<i64> = (0..rows).map(|_| bench.rng.random_range(lateness.clone())).collect();
            let mut columns = batch.columns().to_vec();
            columns[2] = Arc::new(Int64Array::from(times)) as ArrayRef;
            columns[3] = Arc::new(Int64Array::from(late)) as ArrayRef;
            let batch = RecordBatch::try_new(schema, columns)?;
            let alive = Alive::ALL[morsels.len() % 2];
            morsels.push(data::morsel(&mut bench.rng, batch, Dress { alive, kinds })?);
        }
    }
    Ok(morsels)
}
