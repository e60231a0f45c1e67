//! The share of late flights by hour of the day, drawn for the ten busiest origins.

use indicatif::HumanCount;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::RGBColor;
use sabot::arrow::array::{Array, AsArray, PrimitiveArray, RecordBatch};
use sabot::arrow::compute::cast;
use sabot::arrow::datatypes::{DataType, Int64Type};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

/// Origins in the chart, each with a colour that can be told from the others.
const COLOURS: [RGBColor; 10] = [
    RGBColor(0x1f, 0x77, 0xb4),
    RGBColor(0xd6, 0x27, 0x28),
    RGBColor(0x2c, 0xa0, 0x2c),
    RGBColor(0xff, 0x7f, 0x0e),
    RGBColor(0x94, 0x67, 0xbd),
    RGBColor(0x17, 0xbe, 0xcf),
    RGBColor(0x8c, 0x56, 0x4b),
    RGBColor(0xe3, 0x77, 0xc2),
    RGBColor(0x7f, 0x7f, 0x7f),
    RGBColor(0xbc, 0xbd, 0x22),
];
const SIZE: (u32, u32) = (1100, 640);
const LEGEND_WIDTH: u32 = 190;
const FONT: &str = "sans-serif";

/// Flights of an origin by hour of the day: all, and late ones.
#[derive(Clone, Debug, Default, PartialEq)]
struct Origin {
    name: String,
    hours: [(i64, i64); 24],
}

impl Origin {
    fn flights(&self) -> i64 {
        self.hours.iter().map(|(flights, _)| flights).sum()
    }

    /// Stretches of hours in which there are flights: hour, and the share of late ones in percent. Where
    /// there are none the line breaks.
    fn lines(&self) -> Vec<Vec<(f64, f64)>> {
        let mut lines = vec![Vec::new()];
        for (hour, (flights, late)) in (0u8..).zip(self.hours) {
            match (flights, lines.last_mut()) {
                (0, _) => lines.push(Vec::new()),
                (_, Some(line)) => line.push((f64::from(hour), 100.0 * late as f64 / flights as f64)),
                (_, None) => {}
            }
        }
        lines.retain(|line| !line.is_empty());
        lines
    }
}

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

/// Draws the chart of the rows of `pipeline::hours_of_day`.
pub(crate) fn write(path: &Path, rows: &[RecordBatch]) -> Result<(), Box<dyn Error>> {
    let mut svg = String::new();
    draw(&SVGBackend::with_string(&mut svg, SIZE).into_drawing_area(), &busiest(rows)?)?;
    std::fs::write(path, svg).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(())
}

/// The origins with the most flights, the busiest first, ties by name.
fn busiest(rows: &[RecordBatch]) -> Result<Vec<Origin>, Box<dyn Error>> {
    let mut found: BTreeMap<String, Origin> = BTreeMap::new();
    for batch in rows {
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("no column {name}"));
        let numbers = |name: &str| -> Result<PrimitiveArray<Int64Type>, Box<dyn Error>> {
            Ok(cast(column(name)?, &DataType::Int64)?.as_primitive().clone())
        };
        let names = cast(column("origin")?, &DataType::Utf8)?;
        let names = names.as_string::<i32>();
        let (hours, flights, late) = (numbers("hour")?, numbers("flights")?, numbers("late_flights")?);
        // A flight without a time is in no hour, and one without an origin left nowhere.
        for row in (0..batch.num_rows()).filter(|row| hours.is_valid(*row) && names.is_valid(*row)) {
            let name = names.value(row);
            let origin = found.entry(name.to_owned()).or_default();
            name.clone_into(&mut origin.name);
            let hour = usize::try_from(hours.value(row))?;
            let of_hour = origin.hours.get_mut(hour).ok_or_else(|| format!("a day has no hour {hour}"))?;
            *of_hour = (of_hour.0 + flights.value(row), of_hour.1 + late.value(row));
        }
    }
    let mut origins: Vec<Origin> = found.into_values().collect();
    origins.sort_by_key(|origin| std::cmp::Reverse(origin.flights()));
    origins.truncate(COLOURS.len());
    Ok(origins)
}

fn draw<B: DrawingBackend>(area: &DrawingArea<B, Shift>, origins: &[Origin]) -> Result<(), Box<dyn Error>>
where
    B::ErrorType: 'static,
{
    area.fill(&WHITE)?;
    let (left, legend) = area.split_horizontally(SIZE.0 - LEGEND_WIDTH);
    let mut chart = ChartBuilder::on(&left)
        .caption("Flights that left more than 15 minutes late, by hour of the day", (FONT, 24))
        .margin(16)
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..23.0, 0.0..100.0)?;
    chart
        .configure_mesh()
        .x_labels(24)
        .x_label_formatter(&|hour| format!("{hour:.0}"))
        .y_label_formatter(&|share| format!("{share:.0} %"))
        .x_desc("hour of the day (UTC where times have no zone)")
        .y_desc("share of late flights")
        .axis_desc_style((FONT, 16))
        .label_style((FONT, 14))
        .light_line_style(WHITE)
        .bold_line_style(BLACK.mix(0.12))
        .draw()?;
    for (origin, colour) in origins.iter().zip(COLOURS) {
        for line in origin.lines() {
            chart.draw_series(LineSeries::new(line.iter().copied(), colour.stroke_width(2)))?;
            chart.draw_series(line.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
        }
    }
    legend.draw(&Text::new("flights from", (0, 64), (FONT, 16)))?;
    for (at, (origin, colour)) in (0i32..).zip(origins.iter().zip(COLOURS)) {
        let y = 96 + 26 * at;
        legend.draw(&Rectangle::new([(0, y), (22, y + 4)], colour.filled()))?;
        let text = format!("{}: {}", origin.name, HumanCount(origin.flights().unsigned_abs()));
        legend.draw(&Text::new(text, (30, y - 6), (FONT, 16)))?;
    }
    area.present()?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;
    use sabot::arrow::array::{ArrayRef, Int64Array, StringArray};
    use std::sync::Arc;

    fn rows(rows: &[(Option<&str>, Option<i64>, i64, i64)]) -> RecordBatch {
        let origins: StringArray = rows.iter().map(|row| row.0).collect();
        let hours: Int64Array = rows.iter().map(|row| row.1).collect();
        let flights: Int64Array = rows.iter().map(|row| Some(row.2)).collect();
        let late: Int64Array = rows.iter().map(|row| Some(row.3)).collect();
        RecordBatch::try_from_iter([
            ("origin", Arc::new(origins) as ArrayRef),
            ("hour", Arc::new(hours)),
            ("flights", Arc::new(flights)),
            ("late_flights", Arc::new(late)),
        ])
        .unwrap()
    }

    #[test]
    fn the_busiest_come_first_and_lines_break_where_nothing_flies() {
        let a = rows(&[(Some("SFO"), Some(7), 4, 1), (Some("JFK"), Some(7), 10, 0), (None, Some(7), 99, 0)]);
        let b =
            rows(&[(Some("SFO"), Some(9), 8, 8), (Some("OAK"), Some(0), 12, 6), (Some("OAK"), None, 99, 0)]);
        let found = busiest(&[a, b]).unwrap();
        let names: Vec<&str> = found.iter().map(|origin| origin.name.as_str()).collect();
        assert_eq!(names, ["OAK", "SFO", "JFK"], "ties by name");
        assert_eq!(found[1].lines(), [vec![(7.0, 25.0)], vec![(9.0, 100.0)]]);
        assert_eq!(found[0].lines(), [vec![(0.0, 50.0)]]);
        assert!(busiest(&[]).unwrap().is_empty());
        assert!(busiest(&[rows(&[(Some("SFO"), Some(24), 1, 0)])]).is_err());
    }

    #[test]
    fn at_most_ten_are_drawn() {
        let names: Vec<String> = (0..12).map(|i| format!("A{i:02}")).collect();
        let many: Vec<_> = (1..).zip(&names).map(|(i, name)| (Some(name.as_str()), Some(5), i, 0)).collect();
        let found = busiest(&[rows(&many)]).unwrap();
        assert_eq!((found.len(), found[0].name.as_str(), found[9].name.as_str()), (10, "A11", "A02"));
    }

    #[test]
    fn paths_are_checked() {
        assert_eq!(path("a.svg").unwrap(), Path::new("a.svg"));
        assert!(path("a.png").unwrap_err().ends_with("must end in .svg"));
        assert!(path("no/such/folder/a.svg").unwrap_err().contains("no/such/folder does not exist"));
    }
}
