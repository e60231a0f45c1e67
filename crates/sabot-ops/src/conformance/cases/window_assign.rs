//! Window-assign: starts of slices, late rows, gaps, times before 1970 and at the ends of time.

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use sabot_batch::{Morsel, hidden};
use sabot_common::Span;
use sabot_time::{
    CalendarUnit, CalendarWindow, CountWindow, CumulateWindow, HoppingWindow, SessionWindow, TimeError,
    TumblingWindow, Windows,
};
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
                let window = TumblingWindow::new(Span(size), Span(offset))?.into();
                let spec = WindowAssignSpec { window, allowed_lateness: allowed };
                let morsels = morsels(bench, &spec, (size, offset), false)?;
                let fragment = Fragment::new(schema(), vec![spec.into()])?;
                bench.check(&fragment, &morsels, &[Equality::Bits; 5])
            });
        }
    }
    for kind in KINDS {
        cases.case("window-assign/kinds", kind.name.to_owned(), move |bench| {
            let spec = WindowAssignSpec { window: (kind.window)()?, allowed_lateness: Span::from_secs(1) };
            let morsels = morsels(bench, &spec, (kind.boundary, 0), false)?;
            let fragment = Fragment::new(schema(), vec![spec.into()])?;
            bench.check(&fragment, &morsels, &[Equality::Bits; 5])
        });
    }
    let kinds: [fn() -> Result<Windows, TimeError>; 2] = [
        || Ok(TumblingWindow::new(Span(HOUR), Span::ZERO)?.into()),
        || Ok(HoppingWindow::new(Span(HOUR / 2), Span(HOUR), Span::ZERO)?.into()),
    ];
    for window in kinds {
        let detail = window().map_or_else(|error| error.to_string(), |window| window.to_string());
        cases.case("window-assign/row-kinds", detail, move |bench| {
            let spec = WindowAssignSpec { window: window()?, allowed_lateness: Span::from_secs(1) };
            let morsels = morsels(bench, &spec, (HOUR, 0), true)?;
            let fragment = Fragment::new(schema(), vec![spec.into()])?;
            bench.check(&fragment, &morsels, &[Equality::Bits; 5])
        });
    }
}

/// Windows of a kind, and where there are boundaries of theirs: at multiples of a span.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    window: fn() -> Result<Windows, TimeError>,
    boundary: i64,
}

const KINDS: [Kind; 8] = [
    Kind {
        name: "hopping, the slide divides the size",
        window: || Ok(HoppingWindow::new(Span(3 * HOUR), Span(HOUR), Span::ZERO)?.into()),
        boundary: HOUR,
    },
    Kind {
        name: "hopping, the slide does not divide the size",
        window: || Ok(HoppingWindow::new(Span(7_000_000), Span(3_000_000), Span(1))?.into()),
        boundary: 3_000_000,
    },
    Kind {
        name: "hopping with gaps",
        window: || Ok(HoppingWindow::new(Span(2), Span(5), Span::ZERO)?.into()),
        boundary: 5,
    },
    Kind {
        name: "cumulate",
        window: || Ok(CumulateWindow::new(Span(24 * HOUR), Span(HOUR), Span::ZERO)?.into()),
        boundary: HOUR,
    },
    Kind {
        name: "calendar days where clocks change",
        window: || Ok(CalendarWindow::new(CalendarUnit::Day, "Europe/Zurich".parse()?, Span::ZERO)?.into()),
        boundary: 23 * HOUR,
    },
    Kind {
        name: "calendar months",
        window: || Ok(CalendarWindow::new(CalendarUnit::Month, "-08:00".parse()?, Span(HOUR))?.into()),
        boundary: 700 * HOUR,
    },
    Kind { name: "sessions", window: || Ok(SessionWindow::new(Span(HOUR))?.into()), boundary: HOUR },
    Kind { name: "count", window: || Ok(CountWindow::new(3)?.into()), boundary: HOUR },
];

fn schema() -> SchemaRef {
    let columns = schema_of(&[("origin", DataType::Utf8), ("delay", DataType::Float64)]);
    with_hidden(columns, &[hidden::TIME, hidden::LATE, hidden::ROW])
}

/// Morsels that are on time, partly late, and all late; with times around boundaries of windows, which lie
/// every `size` from `offset` on, in one window, and at the ends of time.
fn morsels(
    bench: &mut Bench<'_>,
    spec: &WindowAssignSpec,
    (size, offset): (i64, i64),
    kinds: bool,
) -> Result<Vec<Morsel>, NotPassed> {
    let allowed = spec.allowed_lateness.micros();
    let schema = schema();
    let mut morsels = Vec::new();
    for rows in bench.sizes() {
        for shape in 0..3 {
            let batch = bench.batch(&schema, rows, Nulls::Some, &|_| Values::Mixed)?;
            let rng = &mut bench.rng;
            let time = |rng: &mut ChaCha8Rng| match shape {
                0 => offset + size * rng.random_range(-3..=3) + rng.random_range(-1..=1),
                1 => HOUR + 5,
                _ => *[i64::MIN, i64::MIN + 1, i64::MAX, rng.random()].choose(rng).unwrap_or(&0),
            };
            let late = |rng: &mut ChaCha8Rng| match shape {
                0 => 0,
                1 => *[0, 0, allowed, allowed + 1, rng.random_range(0..=2 * allowed + 1)]
                    .choose(rng)
                    .unwrap_or(&0),
                _ => rng.random_range(allowed + 1..=i64::MAX),
            };
            let times: Int64Array = (0..rows).map(|_| Some(time(rng))).collect();
            let lateness: Int64Array = (0..rows).map(|_| Some(late(rng))).collect();
            let mut columns = batch.columns().to_vec();
            columns[2] = Arc::new(times);
            columns[3] = Arc::new(lateness);
            let batch = RecordBatch::try_new(schema.clone(), columns)?;
            let alive = Alive::ALL[morsels.len() % 2];
            morsels.push(data::morsel(&mut bench.rng, batch, Dress { alive, kinds })?);
        }
    }
    Ok(morsels)
}
