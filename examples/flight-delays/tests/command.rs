//! The program from outside: options, formats, messages, files.
//!
//! That its rows are right is what the goldens are for; here they must be the same by every way in and out.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use sabot::arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use sabot::arrow::compute::{cast, concat_batches};
use sabot::arrow::datatypes::{DataType, Float64Type};
use sabot::prelude::{Job, Stream, Table, csv, file, parquet};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

const FORMATS: [&str; 4] = ["csv", "parquet", "ndjson", "arrow"];
const HOUR_US: i64 = 3_600_000_000;

/// Where the manifest is not named, as in a shell at the workspace's root.
fn program(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flight-delays"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    command.env_remove("CARGO_MANIFEST_DIR").current_dir(root).args(arguments).output().unwrap()
}

fn succeeds(arguments: &[&str]) -> String {
    let output = program(arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {errors}");
    assert_eq!(errors, "", "{arguments:?}: nothing is drawn where no terminal is");
    String::from_utf8(output.stdout).unwrap()
}

fn fails(arguments: &[&str]) -> String {
    let output = program(arguments);
    assert!(!output.status.success(), "{arguments:?} should fail");
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

/// All rows of a file.
fn rows(path: &Path) -> RecordBatch {
    let stream = Stream::read(file(path)).unwrap();
    concat_batches(stream.schema(), &stream.collect().unwrap()).unwrap()
}

/// The rows as text, floats by their bits: what is the same in every format.
fn lines(batch: &RecordBatch) -> Vec<String> {
    let column = |column: &Arc<dyn Array>| -> Vec<String> {
        if column.data_type() == &DataType::Float64 {
            let floats = column.as_primitive::<Float64Type>();
            return floats.values().iter().map(|float| format!("{:016x}", float.to_bits())).collect();
        }
        let texts = cast(column, &DataType::Utf8).unwrap();
        texts.as_string::<i32>().iter().map(|text| text.unwrap_or("\\N").to_owned()).collect()
    };
    let columns: Vec<Vec<String>> = batch.columns().iter().map(column).collect();
    (0..batch.num_rows())
        .map(|i| columns.iter().map(|c| c[i].as_str()).collect::<Vec<_>>().join("|"))
        .collect()
}

/// Flights of our own, in order of time: hour, minute, delay, origin.
fn flights(path: &Path, flights: &[(i64, i64, Option<i64>, &str)]) {
    let date = flights.iter().map(|f| f.0 * HOUR_US + f.1 * 60_000_000);
    let date = TimestampMicrosecondArray::from_iter_values(date);
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("date", Arc::new(date) as Arc<dyn Array>, false),
        ("delay", Arc::new(flights.iter().map(|f| f.2).collect::<Int64Array>()), true),
        ("origin", Arc::new(flights.iter().map(|f| Some(f.3)).collect::<StringArray>()), true),
    ]);
    let stream = Stream::from_batches([batch.unwrap()]).unwrap();
    Job::new("flights").write(&stream, file(path)).unwrap().run().unwrap();
}

#[test]
fn without_options_it_shows_tables_of_the_sample() {
    let shown = succeeds(&[]);
    assert!(
        shown.contains("| window_start ") && shown.contains("| William B Hartsfield-Atlanta Intl"),
        "{shown}"
    );
    assert!(shown.contains("| 2001-01-01 | 1    | DFW    | Dallas-Fort Worth International "), "{shown}");
    assert_eq!(shown.matches("\n| 2001-01-").count(), 20, "two tables of ten rows: {shown}");
    let plan = succeeds(&["--explain"]);
    assert!(plan.contains("flights-200k.parquet") && plan.contains("airports.csv"), "{plan}");
}

#[test]
fn all_formats_give_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str, format: &str| folder.path().join(format!("{name}.{format}"));
    // A part of the sample, so that text is read soon; airports as they are.
    let part = Stream::read(parquet(data("flights-200k.parquet"))).unwrap().limit(20_000).unwrap();
    let airports = Table::read(csv(data("airports.csv"))).unwrap().stream();
    let mut job = Job::new("formats");
    for format in FORMATS {
        job = job.write(&part, file(at("flights", format))).unwrap();
        job = job.write(&airports, file(at("airports", format))).unwrap();
    }
    job.run().unwrap();
    let mut wanted: Option<[Vec<String>; 2]> = None;
    // Each format is read once and written once, and by two others than its own.
    for (i, input) in FORMATS.into_iter().enumerate() {
        let other = |step: usize| FORMATS[(i + step) % FORMATS.len()];
        let (flights, airports) = (at("flights", input), at("airports", other(1)));
        let windows = at(&format!("windows-of-{input}"), other(2));
        let ranking = at(&format!("ranking-of-{input}"), other(3));
        let arguments = [
            "--json",
            "--input",
            text(&flights),
            "--airports",
            text(&airports),
            "--windows",
            text(&windows),
            "--ranking",
            text(&ranking),
        ];
        let figures = succeeds(&arguments);
        assert!(figures.starts_with(r#"{"rows":20000,"windows":"#), "{figures}");
        let got = [rows(&windows), rows(&ranking)].map(|batch| lines(&batch));
        assert!(got.iter().all(|lines| !lines.is_empty()));
        let wanted = wanted.get_or_insert_with(|| got.clone());
        assert!(got == *wanted, "{input} gives other rows than {}", FORMATS[0]);
    }
}

#[test]
fn figures_say_what_was_done_with_files_or_without() {
    let folder = tempfile::tempdir().unwrap();
    let windows = folder.path().join("windows.csv");
    let figure = |figures: &str, name: &str| -> f64 {
        let (_, rest) =
            figures.split_once(&format!("\"{name}\":")).unwrap_or_else(|| panic!("{name}: {figures}"));
        rest.split([',', '}']).next().unwrap().trim().parse().unwrap()
    };
    for arguments in [vec!["--json"], vec!["--json", "--workers", "3", "--windows", text(&windows)]] {
        let figures = succeeds(&arguments);
        assert_eq!(figures.lines().count(), 1, "{figures}");
        let of = ["rows", "windows", "ranking"].map(|name| figure(&figures, name));
        assert_eq!(of, [200_000.0, 41_875.0, 130.0]);
        let (seconds, speed) = (figure(&figures, "seconds"), figure(&figures, "rows_per_second"));
        assert!(seconds > 0.0 && (speed * seconds / 200_000.0 - 1.0).abs() < 1e-6, "{figures}");
        assert!(figure(&figures, "peak_memory_bytes") > 1e6 || !cfg!(target_os = "linux"), "{figures}");
        if arguments.len() > 1 {
            assert_eq!(figure(&figures, "workers"), 3.0);
        }
    }
    assert_eq!(rows(&windows).num_rows(), 41_875);
}

#[test]
fn unknown_airports_missing_delays_and_na() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (input, windows, ranking) = (at("flights.parquet"), at("windows.parquet"), at("ranking.parquet"));
    let late = Some(16);
    flights(
        &input,
        &[
            (0, 0, late, "MQT"),
            (0, 1, Some(15), "SFO"),
            (0, 2, None, "SFO"),
            (0, 3, late, "???"),
            (0, 4, None, "OAK"),
        ],
    );
    succeeds(&["--json", "--input", text(&input), "--windows", text(&windows), "--ranking", text(&ranking)]);
    let (windows, ranking) = (rows(&windows), rows(&ranking));
    let column = |name: &str| cast(windows.column_by_name(name).unwrap(), &DataType::Utf8).unwrap();
    let first = |name: &str| -> Vec<Option<String>> {
        column(name).as_string::<i32>().iter().take(4).map(|text| text.map(str::to_owned)).collect()
    };
    let wanted = |texts: [Option<&str>; 4]| texts.map(|text| text.map(str::to_owned)).to_vec();
    assert_eq!(first("origin"), wanted([Some("???"), Some("MQT"), Some("OAK"), Some("SFO")]));
    let names = [None, Some("Marquette County Airport"), Some("Metropolitan Oakland International")];
    assert_eq!(first("name")[..3], wanted([names[0], names[1], names[2], None])[..3]);
    assert_eq!(first("city")[..3], wanted([None, Some("NA"), Some("Oakland"), None])[..3], "\"NA\" is text");
    // A delay that nobody knows is no part of the average, and its flight is not known to be late.
    assert_eq!(first("average_delay"), wanted([Some("16.0"), Some("16.0"), None, Some("15.0")]));
    assert_eq!(first("share_late"), wanted([Some("1.0"), Some("1.0"), Some("0.0"), Some("0.0")]));
    assert_eq!(windows.num_rows(), 12, "three windows hold an hour");
    let listed = lines(&ranking);
    assert_eq!(
        listed,
        ["1970-01-01|1|???|\\N|1|1", "1970-01-01|2|MQT|Marquette County Airport|1|1"],
        "ties by origin, and nobody who was never late"
    );
}

#[test]
fn flights_out_of_order_are_not_left_out_unseen() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("flights.csv");
    flights(&input, &[(9, 0, Some(20), "SFO"), (2, 0, Some(20), "SFO"), (10, 0, Some(20), "SFO")]);
    let output = program(&["--json", "--input", text(&input)]);
    assert!(output.status.success());
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("flights.csv is not in order of time"), "{errors}");
}

#[test]
fn the_chart_has_a_line_for_each_of_the_ten_busiest_origins() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("late.svg");
    let shown = succeeds(&["--chart", text(&path)]);
    assert!(shown.ends_with(&format!("chart: {}\n", path.display())), "{shown}");
    let svg = std::fs::read_to_string(&path).unwrap();
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
    // Lines have the width 2, grids and axes the width 1.
    let lines = svg.split("<polyline ").skip(1).filter(|line| line.contains("stroke-width=\"2\""));
    let colour = |line: &str| line.split("stroke=\"").nth(1).unwrap()[..7].to_owned();
    assert_eq!(lines.map(colour).collect::<BTreeSet<_>>().len(), 10);
    let texts: Vec<&str> = svg.split("<text").skip(1).filter_map(|text| text.split('>').nth(1)).collect();
    let shows = |wanted: &str| texts.iter().any(|text| text.contains(wanted));
    let busiest = ["ORD: 11,015", "DFW: 10,460", "ATL: 8,242", "LAX: 7,633", "PHX: 6,232", "STL: 5,430"];
    for wanted in busiest.into_iter().chain(["DTW: 4,812", "MSP: 4,621", "DEN: 4,493", "LAS: 4,463"]) {
        assert!(shows(wanted), "no {wanted} in {texts:?}");
    }
    for wanted in ["late, by hour of the day", "hour of the day (UTC", "share of late flights", "100 %"] {
        assert!(shows(wanted), "no \"{wanted}\" in {texts:?}");
    }
}

#[test]
fn wrong_options_say_what_would_be_right() {
    for (arguments, wanted) in [
        (vec!["--windos", "w.csv"], vec!["--windos", "a similar argument exists: '--windows'", "--help"]),
        (
            vec!["--windows", "w.cvs"],
            vec!["\"w.cvs\" (did you mean \".csv\"?)", ".csv, .ndjson, .jsonl, .arrow"],
        ),
        (vec!["--ranking", "ranking"], vec!["ends in one of .csv", "found \"ranking\""]),
        (vec!["--input", "flights.xls"], vec!["ends in one of .csv", "flights.xls"]),
        (vec!["--input", "flights.csv"], vec!["flights.csv does not exist"]),
        (vec!["--airports", "airports.json"], vec!["airports.json", "did you mean \".jsonl\"?"]),
        (vec!["--windows", "no/such/folder/w.csv"], vec!["no/such/folder"]),
        (vec!["--chart", "late.png"], vec!["--chart", "must end in .svg"]),
        (vec!["--workers", "0"], vec!["--workers"]),
        (vec!["--devices", "gpu"], vec!["unknown devices \"gpu\"; known: auto, cpu"]),
    ] {
        let errors = fails(&arguments);
        for part in wanted {
            assert!(errors.contains(part), "no {part} for {arguments:?} in: {errors}");
        }
    }
    // Airports as flights: a column is missing, and the message says which.
    let errors = fails(&["--input", text(&data("airports.csv"))]);
    assert!(errors.contains("unknown column \"date\""), "{errors}");
    let help = succeeds(&["--help"]);
    for option in ["--input", "--airports", "--windows", "--ranking", "--chart", "--workers", "--json"] {
        assert!(help.contains(option), "no {option} in: {help}");
    }
}

/// A machine without a device is told so, or fails where `SABOT_REQUIRE_ADAPTER` says that there is one.
#[test]
fn a_gpu_gives_the_same_on_the_first_adapter() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let arguments = |devices: &str| -> Vec<String> {
        let (windows, ranking) = (file(&format!("w-{devices}.csv")), file(&format!("r-{devices}.csv")));
        let files = ["--windows", text(&windows), "--ranking", text(&ranking)].map(str::to_owned);
        [&["--json".to_owned(), "--devices".to_owned(), devices.to_owned()][..], &files].concat()
    };
    let run = |devices: &str| {
        let arguments = arguments(devices);
        program(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let found = run("wgpu");
    if !found.status.success() {
        let why = String::from_utf8(found.stderr).unwrap();
        assert!(std::env::var_os("SABOT_REQUIRE_ADAPTER").is_none(), "{why}");
        assert!(why.contains("a Vulkan driver is needed") || why.contains("the feature \"wgpu\""), "{why}");
        println!("skipped: {why}");
        return;
    }
    assert!(run("cpu").status.success());
    for name in ["w", "r"] {
        let read = |devices: &str| std::fs::read(file(&format!("{name}-{devices}.csv"))).unwrap();
        assert!(read("wgpu") == read("cpu"), "{name}");
    }
    let figures: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
    let stages = figures["morsels_by_stage"].as_object().unwrap();
    let count = |stage: &serde_json::Value, device: &str| stage[device].as_u64().unwrap_or(0);
    // The filter-project behind the source, and the two pre-aggregations of windows.
    let on_device: Vec<_> = stages.values().filter(|stage| count(stage, "wgpu:0") > 0).collect();
    assert!(on_device.len() >= 3, "{figures}");
    assert!(on_device.iter().all(|stage| count(stage, "wgpu:0") >= 9 * count(stage, "cpu")), "{figures}");
}
