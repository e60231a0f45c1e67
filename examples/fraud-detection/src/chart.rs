//! What a run found: alerts and frauds by day, and what precision costs in recall.

use fraud_detection::metrics::Point;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::RGBColor;
use sabot::arrow::array::{AsArray, RecordBatch};
use sabot::arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use sabot::arrow::temporal_conversions::date32_to_datetime;
use std::error::Error;
use std::path::{Path, PathBuf};

const ALERTS: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const FRAUDS: RGBColor = RGBColor(0xd6, 0x27, 0x28);
const SIZE: (u32, u32) = (1100, 900);
const FONT: &str = "sans-serif";
const DAY_MICROS: i64 = 86_400_000_000;
/// Points of the curve that are drawn at most: more cannot be seen, and each is a part of the file.
const POINTS_MAX: usize = 1_000;

/// Checks the path of a chart.
pub(crate) fn path(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("svg")) {
        return Err("a chart is drawn as SVG: its name must end in .svg".to_owned());
    }
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            Err(format!("the folder {} does not exist", folder.display()))
        }
        _ => Ok(path),
    }
}

/// Draws the rows of `pipeline::by_day`, and the curve where there is one. Without labels frauds are not known.
pub(crate) fn write(
    path: &Path,
    days: &[RecordBatch],
    has_labels: bool,
    curve: &[Point],
) -> Result<(), Box<dyn Error>> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let (above, below) = area.split_vertically(SIZE.1 / 2);
        draw_days(&above, &counted(days)?, has_labels)?;
        draw_curve(&below, &thinned(curve))?;
        area.present()?;
    }
    std::fs::write(path, svg).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(())
}

/// What was counted on a day, which is numbered from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Day {
    day: i32,
    alerts: i64,
    frauds: i64,
}

/// Every day from the first to the last, those without a transaction among them.
fn counted(batches: &[RecordBatch]) -> Result<Vec<Day>, Box<dyn Error>> {
    let mut days: Vec<Day> = Vec::new();
    for batch in batches {
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("no column {name}"));
        let starts = column("window_start")?.as_primitive::<TimestampMicrosecondType>();
        let (alerts, frauds) = (column("alerts")?.as_primitive::<Int64Type>(), column("frauds")?);
        let frauds = frauds.as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let day = i32::try_from(starts.value(row).div_euclid(DAY_MICROS))?;
            let next = days.last().map_or(day, |last| last.day + 1);
            days.extend((next..day).map(|day| Day { day, alerts: 0, frauds: 0 }));
            days.push(Day { day, alerts: alerts.value(row), frauds: frauds.value(row) });
        }
    }
    Ok(days)
}

/// Some of the points, the first and the last among them.
fn thinned(curve: &[Point]) -> Vec<Point> {
    let step = curve.len().div_ceil(POINTS_MAX).max(1);
    let last = curve.last().filter(|_| !(curve.len().saturating_sub(1)).is_multiple_of(step));
    curve.iter().step_by(step).chain(last).copied().collect()
}

fn draw_days<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    days: &[Day],
    has_labels: bool,
) -> Result<(), Box<dyn Error>>
where
    B::ErrorType: 'static,
{
    let (first, last) = (days.first().map_or(0, |day| day.day), days.last().map_or(1, |day| day.day));
    let highest = days.iter().map(|day| day.alerts.max(day.frauds)).max().unwrap_or(0).max(1);
    let mut chart = ChartBuilder::on(area)
        .caption("Alerts and frauds by day", (FONT, 24))
        .margin(16)
        .x_label_area_size(48)
        .y_label_area_size(72)
        .build_cartesian_2d(f64::from(first)..f64::from(last.max(first + 1)), 0.0..highest as f64 * 1.05)?;
    chart
        .configure_mesh()
        .x_labels(8)
        .x_label_formatter(&|day| date(*day))
        .x_desc("day (UTC)")
        .y_desc("transactions")
        .y_label_formatter(&|count| format!("{count:.0}"))
        .axis_desc_style((FONT, 16))
        .label_style((FONT, 14))
        .light_line_style(WHITE)
        .bold_line_style(BLACK.mix(0.12))
        .draw()?;
    for (name, colour) in
        [("alerts", ALERTS), ("frauds", FRAUDS)].into_iter().take(if has_labels { 2 } else { 1 })
    {
        let of = |day: &Day| if name == "alerts" { day.alerts } else { day.frauds };
        let points = days.iter().map(|day| (f64::from(day.day), of(day) as f64));
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 2), (x + 20, y + 2)], colour.filled()));
    }
    chart
        .configure_series_labels()
        .label_font((FONT, 16))
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.12))
        .draw()?;
    Ok(())
}

fn date(day: f64) -> String {
    date32_to_datetime(day as i32).map(|time| time.date().to_string()).unwrap_or_default()
}

fn draw_curve<B: DrawingBackend>(area: &DrawingArea<B, Shift>, curve: &[Point]) -> Result<(), Box<dyn Error>>
where
    B::ErrorType: 'static,
{
    let caption = match curve.is_empty() {
        true => "Precision and recall of scores: not known without a model and labels",
        false => "Precision and recall of scores, after the warm-up",
    };
    let mut chart = ChartBuilder::on(area)
        .caption(caption, (FONT, 24))
        .margin(16)
        .x_label_area_size(48)
        .y_label_area_size(72)
        .build_cartesian_2d(0.0..1.0, 0.0..1.05)?;
    chart
        .configure_mesh()
        .x_desc("recall: share of frauds with at least such a score")
        .y_desc("precision: share of frauds among them")
        .axis_desc_style((FONT, 16))
        .label_style((FONT, 14))
        .light_line_style(WHITE)
        .bold_line_style(BLACK.mix(0.12))
        .draw()?;
    let points = curve.iter().map(|point| (point.recall, point.precision));
    chart.draw_series(LineSeries::new(points, ALERTS.stroke_width(2)))?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;
    use sabot::arrow::array::{ArrayRef, Int64Array, TimestampMicrosecondArray};
    use std::sync::Arc;

    #[test]
    fn days_without_transactions_are_days() {
        let starts: TimestampMicrosecondArray = vec![3 * DAY_MICROS, 5 * DAY_MICROS].into();
        let batch = RecordBatch::try_from_iter([
            ("window_start", Arc::new(starts.with_timezone("UTC")) as ArrayRef),
            ("alerts", Arc::new(Int64Array::from(vec![7, 8]))),
            ("frauds", Arc::new(Int64Array::from(vec![1, 2]))),
        ]);
        let day = |day, alerts, frauds| Day { day, alerts, frauds };
        assert_eq!(counted(&[batch.unwrap()]).unwrap(), [day(3, 7, 1), day(4, 0, 0), day(5, 8, 2)]);
        assert_eq!(counted(&[]).unwrap(), []);
        assert_eq!(date(17_622.4), "2018-04-01");
    }

    #[test]
    fn curves_keep_their_ends() {
        let curve: Vec<Point> =
            (0..2_500).map(|n| Point { recall: f64::from(n) / 2_500.0, precision: 1.0 }).collect();
        let thin = thinned(&curve);
        assert!(thin.len() <= POINTS_MAX + 1);
        assert_eq!((thin.first(), thin.last()), (curve.first(), curve.last()));
        assert_eq!(thinned(&curve[..3]), curve[..3]);
        assert!(thinned(&[]).is_empty());
    }

    #[test]
    fn paths_are_checked() {
        assert_eq!(path("a.svg").unwrap(), Path::new("a.svg"));
        assert!(path("a.png").unwrap_err().ends_with("must end in .svg"));
        assert!(path("no/such/folder/a.svg").unwrap_err().contains("no/such/folder does not exist"));
    }
}
