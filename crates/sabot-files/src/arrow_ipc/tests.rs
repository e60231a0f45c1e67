//! Arrow files and streams: what comes back, from which row, and what is broken.

use crate::testing::{batches, drain, joined, rows};
use crate::{FileSink, FileSource};
use arrow::array::{
    Array, ArrayRef, DictionaryArray, Int8Array, Int64Array, RecordBatch, StringArray, StringViewArray,
};
use arrow::datatypes::{DataType, Int8Type, Int32Type};
use arrow::ipc::CompressionType;
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot_common::Epoch;
use sabot_connect::{ConnectError, InlineSpawner, Position, ReadRequest, Sink, Source, Spawner};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn batch(from: i64, rows: i64) -> RecordBatch {
    let id: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + rows));
    let name: ArrayRef = Arc::new(
        (from..from + rows).map(|i| (i % 7 != 3).then(|| format!("n{}", i % 5))).collect::<StringArray>(),
    );
    // Each batch has a dictionary of its own.
    let words: Vec<Option<String>> =
        (from..from + rows).map(|i| (i % 4 != 1).then(|| format!("w{}", i / 3))).collect();
    let word: DictionaryArray<Int32Type> = words.iter().map(Option::as_deref).collect();
    RecordBatch::try_from_iter_with_nullable([
        ("id", id, false),
        ("name", name, true),
        ("word", Arc::new(word) as ArrayRef, true),
    ])
    .unwrap()
}

fn sink_to(path: &Path, batches: &[RecordBatch]) -> Result<(), ConnectError> {
    let sink = FileSink::arrow(path)?;
    let mut writer = sink.open(batches[0].schema(), 0)?;
    for batch in batches {
        writer.write(&batch.clone().into())?;
    }
    let staged = writer.stage(Epoch(1))?;
    sink.commit(Epoch(1), &[staged])?;
    sink.finish()
}

fn read(source: &FileSource, from: u64, request: &ReadRequest) -> Result<Vec<RecordBatch>, ConnectError> {
    let spawner: Arc<dyn Spawner> = Arc::new(InlineSpawner);
    let from = Position::at_row(from);
    let mut reader = source.open(&source.discover()?[0], Some(&from), request, &spawner)?;
    drain(&mut *reader).map(|items| batches(&items, from.row))
}

fn three(folder: &Path, extension: &str) -> (PathBuf, RecordBatch) {
    let path = folder.join(format!("data.{extension}"));
    let parts = [batch(0, 10), batch(10, 1), batch(11, 14)];
    sink_to(&path, &parts).unwrap();
    let plain = |batch: &RecordBatch| {
        let word = arrow::compute::cast(batch.column(2), &DataType::Utf8).unwrap();
        RecordBatch::try_from_iter_with_nullable([
            ("id", batch.column(0).clone(), false),
            ("name", batch.column(1).clone(), true),
            ("word", word, true),
        ])
        .unwrap()
    };
    (path, joined(&parts.each_ref().map(plain)))
}

#[test]
fn files_and_streams_are_read_from_every_row() {
    let folder = tempfile::tempdir().unwrap();
    for extension in ["arrow", "arrows"] {
        let (path, all) = three(folder.path(), extension);
        let source = FileSource::arrow(&path).unwrap();
        assert_eq!(source.rows(), Some(25));
        for morsel_rows in [1, 4, 100] {
            let request = ReadRequest { morsel_rows, ..Default::default() };
            for from in 0..=25 {
                let got = read(&source, from, &request).unwrap();
                assert!(got.iter().all(|batch| batch.num_rows() <= morsel_rows));
                let from = usize::try_from(from).unwrap();
                assert_eq!(rows(&got), rows(&[all.slice(from, 25 - from)]), "{extension} {from}");
            }
        }
        let past = read(&source, 26, &ReadRequest::default()).unwrap_err().to_string();
        assert!(past.ends_with("cannot be read from row 26: the file has 25 rows"), "{past}");
    }
}

#[test]
fn files_have_one_dictionary_that_other_readers_understand() {
    let folder = tempfile::tempdir().unwrap();
    let (path, all) = three(folder.path(), "arrow");
    let reader = FileReader::try_new(File::open(&path).unwrap(), None).unwrap();
    let theirs: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    assert_eq!((theirs.len(), rows(&theirs)), (3, rows(&[all])));
    // More words than keys of one byte can number.
    let words = |from: i32| -> RecordBatch {
        let words: Vec<String> = (from..from + 100).map(|i| format!("w{i}")).collect();
        let keys: Int8Array = (0..100i8).collect();
        let values = Arc::new(StringArray::from(words));
        let array: ArrayRef = Arc::new(DictionaryArray::<Int8Type>::new(keys, values));
        RecordBatch::try_from_iter([("w", array)]).unwrap()
    };
    let refused = sink_to(&folder.path().join("small.arrow"), &[words(0), words(100)]).unwrap_err();
    assert!(refused.to_string().contains("Int8"), "{refused}");
    sink_to(&folder.path().join("small.arrows"), &[words(0), words(100)]).unwrap();
    let source = FileSource::arrow(folder.path().join("small.arrows")).unwrap();
    assert_eq!(rows(&read(&source, 150, &ReadRequest::default()).unwrap())[0], ["w150"]);
}

#[test]
fn projections_dictionaries_views_and_compressed_buffers_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = three(folder.path(), "arrow");
    let source = FileSource::arrow(&path).unwrap();
    let request =
        ReadRequest { projection: Some(vec![1, 0]), strings_as_dictionary: vec![1], ..Default::default() };
    let got = read(&source, 0, &request).unwrap();
    assert!(matches!(got[0].column(0).data_type(), DataType::Dictionary(..)));
    assert_eq!(rows(&got)[1], ["n1", "1"]);
    let none = ReadRequest { projection: Some(vec![]), ..Default::default() };
    assert_eq!(read(&source, 3, &none).unwrap().iter().map(RecordBatch::num_rows).sum::<usize>(), 22);
    for compression in [CompressionType::LZ4_FRAME, CompressionType::ZSTD] {
        let views: ArrayRef =
            Arc::new(StringViewArray::from(vec![Some("a"), None, Some("a long string view")]));
        let batch = RecordBatch::try_from_iter_with_nullable([("v", views, true)]).unwrap();
        let options = IpcWriteOptions::default().try_with_compression(Some(compression)).unwrap();
        let path = folder.path().join("views.feather");
        let to = File::create(&path).unwrap();
        let mut writer = FileWriter::try_new_with_options(to, &batch.schema(), options).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        let source = FileSource::arrow(&path).unwrap();
        assert_eq!(rows(&read(&source, 0, &ReadRequest::default()).unwrap()), rows(&[batch]));
    }
}

#[test]
fn files_of_a_folder_must_agree() {
    let folder = tempfile::tempdir().unwrap();
    sink_to(&folder.path().join("b.arrow"), &[batch(0, 2)]).unwrap();
    sink_to(&folder.path().join("a.arrows"), &[batch(2, 1)]).unwrap();
    let source = FileSource::arrow(folder.path()).unwrap();
    assert_eq!((source.rows(), source.discover().unwrap().len()), (Some(3), 2));
    let other = batch(0, 1).project(&[1, 0, 2]).unwrap();
    sink_to(&folder.path().join("c.ipc"), &[other]).unwrap();
    let refused = FileSource::arrow(folder.path()).unwrap_err().to_string();
    assert!(refused.ends_with("c.ipc: column 1: expected \"id\" int64, got \"name\" utf8"), "{refused}");
}

/// Broken files are an error, never a panic or an allocation of what a broken length asks for.
#[test]
fn broken_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (mut refused, mut read_whole) = (0, 0);
    for extension in ["arrow", "arrows"] {
        let (path, _) = three(folder.path(), extension);
        let whole = fs::read(&path).unwrap();
        let broken = folder.path().join(format!("broken.{extension}"));
        for seed in 0..400 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut bytes = whole.clone();
            match seed % 3 {
                0 => bytes.truncate(random.random_range(0..whole.len())),
                1 => {
                    let at = random.random_range(0..whole.len());
                    bytes[at] ^= 1 << random.random_range(0..8);
                }
                _ => {
                    let at = random.random_range(0..whole.len() - 8);
                    bytes[at..at + 8].fill(if random.random() { 0x7f } else { 0xff });
                }
            }
            fs::write(&broken, bytes).unwrap();
            let request = ReadRequest { morsel_rows: 5, ..Default::default() };
            match FileSource::arrow(&broken).and_then(|source| read(&source, 0, &request)) {
                Ok(_) => read_whole += 1,
                Err(error) => {
                    refused += 1;
                    let message = error.to_string();
                    assert!(message.contains("broken.arrow"), "seed {seed}: {message}");
                }
            }
        }
    }
    assert!(refused > 200 && read_whole > 100, "{refused} refused, {read_whole} read");
    let text = folder.path().join("text.arrow");
    fs::write(&text, "this is no Arrow file").unwrap();
    let message = FileSource::arrow(&text).unwrap_err().to_string();
    assert!(message.ends_with("it begins neither as an Arrow file nor as a stream of one"), "{message}");
}
