//! Parquet files written for the purpose, read in every way, broken ones among them.

use crate::FileSource;
use crate::testing::{batches, drain, joined, next_item};
use ::parquet::arrow::ArrowWriter;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot_connect::prune::{Bound, Comparison, Condition, PruneTest};
use sabot_connect::{
    InlineSpawner, PartitionReader, Position, PruneFilter, ReadRequest, Source, SourceItem, Spawner,
    ThreadSpawner,
};
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

fn sample(rows: i64) -> RecordBatch {
    let id: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    let at: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values((0..rows).map(|i| i * 10)));
    let name: ArrayRef =
        Arc::new((0..rows).map(|i| (i % 7 != 3).then(|| format!("n{}", i % 5))).collect::<StringArray>());
    let ratio: ArrayRef =
        Arc::new((0..rows).map(|i| (i % 4 != 0).then_some(i as f64)).collect::<Float64Array>());
    RecordBatch::try_from_iter([("id", id), ("at", at), ("name", name), ("ratio", ratio)]).unwrap()
}

struct Written {
    _folder: TempDir,
    path: PathBuf,
}

fn write_with(batch: &RecordBatch, properties: WriterProperties) -> Written {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.parquet");
    let mut writer =
        ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    Written { _folder: folder, path }
}

fn write(batch: &RecordBatch, group_rows: usize) -> Written {
    write_with(batch, WriterProperties::builder().set_max_row_group_row_count(Some(group_rows)).build())
}

fn open_at(path: &PathBuf, from: Option<Position>, request: &ReadRequest) -> Box<dyn PartitionReader> {
    let source = FileSource::parquet(path).unwrap();
    let spawner: Arc<dyn Spawner> = Arc::new(ThreadSpawner);
    let partition = source.discover().unwrap().remove(0);
    source.open(&partition, from.as_ref(), request, &spawner).unwrap()
}

fn read(path: &PathBuf, request: &ReadRequest) -> (Vec<SourceItem>, Box<dyn PartitionReader>) {
    let mut reader = open_at(path, None, request);
    (drain(&mut *reader).unwrap(), reader)
}

fn test_on(column: usize, comparison: Comparison, bound: Bound) -> PruneFilter {
    PruneFilter::new(vec![PruneTest { column, condition: Condition::Compare(comparison, bound) }])
}

#[test]
fn rows_come_in_order_whatever_the_cut_and_the_look_ahead() {
    let wanted = sample(20_000);
    let file = write(&wanted, 3_000);
    for (morsel_rows, look_ahead_bytes) in [(1_000, 0), (1, 1 << 20), (7_777, 100_000), (100_000, usize::MAX)]
    {
        let request = ReadRequest { morsel_rows, look_ahead_bytes, ..Default::default() };
        let (items, reader) = read(&file.path, &request);
        let got = batches(&items, 0);
        assert!(got.iter().all(|b| b.num_rows() <= morsel_rows));
        assert_eq!(joined(&got), wanted);
        let counters = reader.counters();
        assert_eq!((counters.row_groups_read, counters.row_groups_pruned, counters.rows), (7, 0, 20_000));
        assert!(counters.bytes > 0 && counters.bytes < fs::metadata(&file.path).unwrap().len());
    }
}

#[test]
fn projections_keep_their_order_and_may_repeat_or_be_empty() {
    let wanted = sample(500);
    let file = write(&wanted, 200);
    for projection in [vec![2usize, 0], vec![3], vec![1, 1, 0], vec![]] {
        let request = ReadRequest { projection: Some(projection.clone()), ..Default::default() };
        let (items, _) = read(&file.path, &request);
        let got = batches(&items, 0);
        let rows: usize = got.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(rows, 500);
        for batch in &got {
            assert_eq!(batch.num_columns(), projection.len());
        }
        for (i, column) in projection.iter().enumerate() {
            let parts: Vec<&dyn Array> = got.iter().map(|b| b.column(i).as_ref()).collect();
            assert_eq!(&arrow::compute::concat(&parts).unwrap(), wanted.column(*column));
        }
    }
    let request = ReadRequest { projection: Some(vec![9]), ..Default::default() };
    let source = FileSource::parquet(&file.path).unwrap();
    let spawner: Arc<dyn Spawner> = Arc::new(InlineSpawner);
    let refused = source.open(&source.discover().unwrap()[0], None, &request, &spawner).err().unwrap();
    assert!(refused.to_string().ends_with("has 4 columns; column number 9 does not exist"), "{refused}");
}

#[test]
fn strings_come_as_dictionaries_where_that_is_asked_for() {
    let wanted = sample(3_000);
    let file = write(&wanted, 1_000);
    let request =
        ReadRequest { projection: Some(vec![2, 0]), strings_as_dictionary: vec![2], ..Default::default() };
    let (items, _) = read(&file.path, &request);
    let got = batches(&items, 0);
    let source = FileSource::parquet(&file.path).unwrap();
    assert!(source.reads_dictionaries());
    let promised = request.output_schema("x", &source.schema()).unwrap();
    let plain: Vec<ArrayRef> = got
        .iter()
        .map(|batch| {
            assert_eq!(batch.schema().field(0).data_type(), promised.field(0).data_type());
            assert!(matches!(batch.column(0).data_type(), DataType::Dictionary(..)));
            cast(batch.column(0), &DataType::Utf8).unwrap()
        })
        .collect();
    let parts: Vec<&dyn Array> = plain.iter().map(|a| a.as_ref()).collect();
    assert_eq!(&arrow::compute::concat(&parts).unwrap(), wanted.column(2));
}

#[test]
fn every_position_gives_the_rest_exactly() {
    let wanted = sample(400);
    let file = write(&wanted, 90);
    let request = ReadRequest { morsel_rows: 37, ..Default::default() };
    let mut reader = open_at(&file.path, None, &request);
    let mut positions = vec![Position::START];
    while next_item(&mut *reader).unwrap().is_some() {
        positions.push(reader.position());
    }
    assert_eq!(positions.last(), Some(&Position::at_row(400)));
    for position in positions.into_iter().chain([1, 89, 90, 91, 399].map(Position::at_row)) {
        let mut rest = open_at(&file.path, Some(position), &request);
        let got = batches(&drain(&mut *rest).unwrap(), position.row);
        let from = position.row as usize;
        match got.is_empty() {
            true => assert_eq!(from, 400),
            false => assert_eq!(joined(&got), wanted.slice(from, 400 - from)),
        }
    }
    let source = FileSource::parquet(&file.path).unwrap();
    let spawner: Arc<dyn Spawner> = Arc::new(InlineSpawner);
    let past = Position::at_row(401);
    let refused = source.open(&source.discover().unwrap()[0], Some(&past), &request, &spawner).err().unwrap();
    assert!(refused.to_string().ends_with("cannot be read from row 401: the file has 400 rows"), "{refused}");
}

#[test]
fn row_groups_that_cannot_match_are_counted_and_not_read() {
    let wanted = sample(1_000);
    let file = write(&wanted, 100);
    // Rows of `id` that a filter lets through must all be there; the pruned groups must be unreadable,
    // which is the surest sign that nobody read them.
    let filter = test_on(0, Comparison::GtEq, Bound::Int(730));
    let request = ReadRequest { filter: Some(filter), event_time: Some(1), ..Default::default() };
    let footer = ::parquet::file::metadata::ParquetMetaDataReader::new()
        .parse_and_finish(&File::open(&file.path).unwrap())
        .unwrap();
    let last_pruned = footer.row_group(6).columns().last().unwrap().byte_range();
    let mut bytes = fs::read(&file.path).unwrap();
    let until = (last_pruned.0 + last_pruned.1) as usize;
    bytes[4..until].fill(0xA5);
    fs::write(&file.path, bytes).unwrap();
    let (items, reader) = read(&file.path, &request);
    let counters = reader.counters();
    assert_eq!((counters.row_groups_pruned, counters.row_groups_read, counters.rows), (7, 3, 300));
    let got = joined(&batches(&items, 0));
    assert_eq!(got, wanted.slice(700, 300));
    let times: Vec<Option<i64>> = items
        .iter()
        .filter_map(|item| match item {
            SourceItem::Skipped { event_time_max, .. } => Some(*event_time_max),
            SourceItem::Rows { .. } => None,
        })
        .collect();
    assert_eq!(times, (1..=7).map(|g| Some((g * 100 - 1) * 10)).collect::<Vec<_>>());
}

#[test]
fn all_null_groups_match_only_null_tests() {
    let values: ArrayRef = Arc::new((0..300).map(|i| (i >= 200).then_some(i)).collect::<Int64Array>());
    let file = write(&RecordBatch::try_from_iter([("v", values)]).unwrap(), 100);
    let pruned = |filter: PruneFilter, event_time| {
        let request = ReadRequest { filter: Some(filter), event_time, ..Default::default() };
        let (items, reader) = read(&file.path, &request);
        let maxima: Vec<_> = items
            .iter()
            .filter_map(|i| match i {
                SourceItem::Skipped { event_time_max, .. } => Some(*event_time_max),
                SourceItem::Rows { .. } => None,
            })
            .collect();
        (reader.counters().row_groups_pruned, maxima)
    };
    assert_eq!(pruned(test_on(0, Comparison::NotEq, Bound::Int(7)), Some(0)), (2, vec![None, None]));
    let null = |condition| PruneFilter::new(vec![PruneTest { column: 0, condition }]);
    assert_eq!(pruned(null(Condition::IsNull), Some(0)), (1, vec![Some(299)]));
    assert_eq!(pruned(null(Condition::IsNotNull), None).0, 2);
}

#[test]
fn nan_hides_from_statistics_and_so_upper_bounds_prune_no_floats() {
    let values: ArrayRef =
        Arc::new(Float64Array::from(vec![1.0, f64::NAN, 2.0, 3.0, 4.0, 5.0, f64::NAN, f64::NAN]));
    let file = write(&RecordBatch::try_from_iter([("v", values)]).unwrap(), 2);
    let read_groups = |comparison, bound: f64| {
        let filter = Some(test_on(0, comparison, Bound::Float(bound)));
        let (_, reader) = read(&file.path, &ReadRequest { filter, ..Default::default() });
        reader.counters().row_groups_read
    };
    // NaN is greater than every number: groups 0 and 3 hold rows that pass, the others might.
    assert_eq!(read_groups(Comparison::Gt, 10.0), 4);
    // Below 2 lies one row of the first group; the group of NaN alone has no bounds and is read.
    assert_eq!(read_groups(Comparison::Lt, 2.0), 2);
    assert_eq!(read_groups(Comparison::Eq, 4.0), 2);
}

#[test]
fn truncated_string_bounds_stay_bounds() {
    let long = |c: char, tail: &str| format!("{}{tail}", c.to_string().repeat(100));
    let values = [long('a', "1"), long('a', "2"), long('b', "1"), long('b', "9")];
    let column: ArrayRef = Arc::new(StringArray::from_iter_values(&values));
    let batch = RecordBatch::try_from_iter([("s", column)]).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(2))
        .set_statistics_truncate_length(Some(8))
        .build();
    let file = write_with(&batch, properties);
    let read_groups = |comparison, text: &str, event_time| {
        let filter = Some(test_on(0, comparison, Bound::Text(text.to_owned())));
        let (_, reader) = read(&file.path, &ReadRequest { filter, event_time, ..Default::default() });
        reader.counters().row_groups_read
    };
    for (i, value) in values.iter().enumerate() {
        assert_eq!(read_groups(Comparison::Eq, value, None), 1, "{i}");
    }
    assert_eq!(read_groups(Comparison::Lt, "a", None), 0);
    assert_eq!(read_groups(Comparison::Gt, &long('b', "9"), None), 1);
    assert_eq!(read_groups(Comparison::Gt, "c", None), 0);
    // A bound that was cut is no exact maximum, so under an event-time column nothing is left out.
    assert_eq!(read_groups(Comparison::Gt, "c", Some(0)), 2);
}

#[test]
fn without_statistics_everything_is_read() {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(100))
        .set_statistics_enabled(EnabledStatistics::None)
        .build();
    let file = write_with(&sample(300), properties);
    let filter = Some(test_on(0, Comparison::Lt, Bound::Int(-1)));
    let (_, reader) = read(&file.path, &ReadRequest { filter, ..Default::default() });
    assert_eq!(reader.counters().row_groups_read, 3);
}

#[test]
fn a_position_inside_a_group_keeps_the_event_time_exact() {
    let file = write(&sample(200), 100);
    let filter = Some(test_on(0, Comparison::Lt, Bound::Int(-1)));
    let request = ReadRequest { filter, event_time: Some(1), ..Default::default() };
    let mut reader = open_at(&file.path, Some(Position::at_row(50)), &request);
    let items = drain(&mut *reader).unwrap();
    assert!(matches!(&items[0], SourceItem::Rows { batch, first_row: 50 } if batch.num_rows() == 50));
    assert!(matches!(
        items[1],
        SourceItem::Skipped { first_row: 100, rows: 100, event_time_max: Some(1990) }
    ));
}

#[test]
fn several_files_are_partitions_by_name_and_must_agree() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["b.parquet", "a.parquet"] {
        let file = write(&sample(10), 10);
        fs::copy(&file.path, folder.path().join(name)).unwrap();
    }
    let source = FileSource::parquet(folder.path()).unwrap();
    let names: Vec<String> = source.discover().unwrap().iter().map(ToString::to_string).collect();
    assert!(names[0].ends_with("a.parquet") && names[1].ends_with("b.parquet") && names.len() == 2);
    assert_eq!(source.rows(), Some(20));
    let other = write(&sample(10).project(&[0, 1]).unwrap(), 10);
    fs::copy(&other.path, folder.path().join("c.parquet")).unwrap();
    let refused = FileSource::parquet(folder.path()).unwrap_err().to_string();
    assert!(refused.ends_with("c.parquet: expected 4 columns, got 2"), "{refused}");
}

#[test]
fn broken_files_and_odd_types_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    fs::write(&path, "not parquet at all").unwrap();
    let refused = FileSource::parquet(&path).unwrap_err().to_string();
    assert!(refused.contains("x.parquet is not a readable Parquet file: footer"), "{refused}");
    // Pages that do not decompress are an error with the file and the row group, never a panic.
    let file = write(&sample(1_000), 500);
    let mut bytes = fs::read(&file.path).unwrap();
    bytes[20..2_000].fill(0xFF);
    fs::write(&file.path, bytes).unwrap();
    let mut reader = open_at(&file.path, None, &ReadRequest::default());
    let failed = drain(&mut *reader).unwrap_err().to_string();
    assert!(failed.contains("data.parquet") && failed.contains("row group 0"), "{failed}");
}

#[test]
fn string_views_are_read_as_strings() {
    let views: ArrayRef = Arc::new(arrow::array::StringViewArray::from(vec!["a", "bb"]));
    let file = write(&RecordBatch::try_from_iter([("s", views)]).unwrap(), 10);
    let (items, _) = read(&file.path, &ReadRequest::default());
    let got = joined(&batches(&items, 0));
    assert_eq!(got.column(0).data_type(), &DataType::Utf8);
    assert_eq!(got.column(0).as_string::<i32>().value(1), "bb");
}

#[test]
fn a_small_look_ahead_decodes_little_more_than_is_taken() {
    let rows = 200_000;
    let file = write(&sample(rows), 100_000);
    let request = ReadRequest { morsel_rows: 4096, look_ahead_bytes: 1, ..Default::default() };
    let source = FileSource::parquet(&file.path).unwrap();
    let spawner: Arc<dyn Spawner> = Arc::new(InlineSpawner);
    let partition = source.discover().unwrap().remove(0);
    let mut reader = source.open(&partition, None, &request, &spawner).unwrap();
    let first = next_item(&mut *reader).unwrap();
    assert!(matches!(first, Some(SourceItem::Rows { .. })));
    // The second row group would be begun if the look-ahead were not kept.
    assert_eq!(reader.counters().row_groups_read, 1);
    let rest = drain(&mut *reader).unwrap();
    let ids: i64 = batches(&rest, 4096)
        .iter()
        .map(|b| b.column(0).as_primitive::<Int64Type>().values().iter().sum::<i64>())
        .sum();
    assert_eq!(ids, (4096..rows).sum::<i64>());
}

#[test]
fn timestamps_keep_unit_and_zone() {
    let zoned = TimestampMicrosecondArray::from(vec![1, 2]).with_timezone("Europe/Berlin");
    let file = write(&RecordBatch::try_from_iter([("t", Arc::new(zoned) as ArrayRef)]).unwrap(), 10);
    let source = FileSource::parquet(&file.path).unwrap();
    let wanted = DataType::Timestamp(TimeUnit::Microsecond, Some("Europe/Berlin".into()));
    assert_eq!(source.schema().field(0).data_type(), &wanted);
}

/// Files with random bytes overwritten are read or refused; nothing panics and no reader waits for ever.
#[test]
fn random_damage_is_an_error_at_worst() {
    let file = write(&sample(3_000), 1_000);
    let sound = fs::read(&file.path).unwrap();
    let mut refused = 0;
    for seed in 0..150 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut bytes = sound.clone();
        for _ in 0..random.random_range(1..4) {
            // Half of the damage hits the footer, which is short.
            let from = if random.random_bool(0.5) { bytes.len() - 2_500 } else { 0 };
            let at = random.random_range(from..bytes.len());
            bytes[at] = random.random();
        }
        fs::write(&file.path, bytes).unwrap();
        let Ok(source) = FileSource::parquet(&file.path) else {
            refused += 1;
            continue;
        };
        let spawner: Arc<dyn Spawner> = Arc::new(ThreadSpawner);
        let partition = source.discover().unwrap().remove(0);
        let read = source
            .open(&partition, None, &ReadRequest::default(), &spawner)
            .and_then(|mut reader| drain(&mut *reader));
        refused += usize::from(read.is_err());
    }
    assert!(refused > 30, "{refused} refused");
}

#[test]
fn a_null_where_none_may_be_is_an_error_with_its_row() {
    let written = write(&sample(100), 16);
    let spawner: Arc<dyn Spawner> = Arc::new(ThreadSpawner);
    let read = |names: &[&str], projection: Option<Vec<usize>>| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let source =
            FileSource::parquet(&written.path).unwrap().not_null(&names).map_err(|(_, name)| name)?;
        let request = ReadRequest { projection, morsel_rows: 10, ..ReadRequest::default() };
        let schema = request.output_schema("data", &source.schema()).unwrap();
        let partition = source.discover().unwrap().remove(0);
        let mut reader = source.open(&partition, None, &request, &spawner).unwrap();
        let items = drain(&mut *reader).map_err(|error| error.to_string())?;
        let batches = batches(&items, 0);
        assert!(batches.iter().all(|batch| batch.schema() == schema));
        Ok::<usize, String>(batches.iter().map(RecordBatch::num_rows).sum())
    };
    assert_eq!(read(&["id", "at"], None), Ok(100));
    assert_eq!(read(&["id", "at", "nane"], None), Err("nane".to_owned()));
    // Names are null from row 3 on, ratios from row 0: the first row counts, not the first column.
    let error = read(&["name"], None).unwrap_err();
    assert!(error.ends_with("data.parquet, row 4: column \"name\": expected utf8, found null"), "{error}");
    let error = read(&["name", "ratio"], Some(vec![2, 3])).unwrap_err();
    assert!(
        error.ends_with("data.parquet, row 1: column \"ratio\": expected float64, found null"),
        "{error}"
    );
    // What nobody reads harms nobody.
    assert_eq!(read(&["name", "ratio"], Some(vec![1])), Ok(100));
}
