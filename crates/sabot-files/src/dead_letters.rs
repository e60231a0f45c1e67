//! Dead letters as rows of a file.
//!
//! A file of dead letters is a file like any other that a job writes: staged under hidden names, committed
//! and finished with the job's sinks, gone with a job that fails. Letters are rows, so its format is that
//! of its extension, and whoever repairs them can read it with the same tools.
//!
//! Every partition has a part of its own, and the parts are joined in the order of partitions: the file
//! does not show how many threads read the source.

use arrow::array::{ArrayRef, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use sabot_common::{Epoch, RowLocation};
use sabot_connect::{Committable, ConnectError, DeadLetter, DeadLetters, Sink, SinkOrder, SinkWriter};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Location;
use crate::output::FileSink;

/// Where the records of a source go that cannot be read.
///
/// The columns of the file: `file` and `record` (from 1, as in messages) say which record it is, `offset`
/// where it begins in the uncompressed text; `column`, where one is to blame, and `reason` say what is
/// wrong; `text` is the record itself, byte by byte and with its line end, or `base64` where it is no
/// UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterOptions {
    /// The file, in the format of its extension; a trailing `/` is a folder of NDJSON.
    pub path: Location,
    /// With more letters than this the job fails; `None` is any number.
    pub max: Option<u64>,
}

/// The dead letters of one job.
pub(crate) struct DeadLetterFile {
    sink: FileSink,
    schema: SchemaRef,
    max: Option<u64>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    letters: u64,
    partitions: BTreeMap<u32, Partition>,
    /// Kept, so that a commit can be repeated.
    staged: BTreeMap<Epoch, Vec<Committable>>,
}

struct Partition {
    writer: Box<dyn SinkWriter>,
    /// What was staged when the partition ended.
    ended: Vec<Committable>,
    /// The place up to which the partition has been passed.
    passed: u64,
}

impl Partition {
    fn new(writer: Box<dyn SinkWriter>) -> Self {
        Self { writer, ended: Vec::new(), passed: 0 }
    }

    /// Everything that the partition has for an epoch.
    fn stage(&mut self, epoch: Epoch) -> Result<Committable, ConnectError> {
        let mut staged = self.writer.stage(epoch)?;
        for part in std::mem::take(&mut self.ended).into_iter().rev() {
            staged.rows += part.rows;
            let later = std::mem::replace(&mut staged.parts, part.parts);
            staged.parts.extend(later);
        }
        Ok(staged)
    }
}

impl fmt::Debug for DeadLetterFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetterFile").field("sink", &self.sink).field("max", &self.max).finish()
    }
}

impl DeadLetterFile {
    /// Takes the file for a job.
    pub(crate) fn begin(options: &DeadLetterOptions) -> Result<Self, ConnectError> {
        let fields = [
            ("file", DataType::Utf8, false),
            ("record", DataType::UInt64, false),
            ("offset", DataType::UInt64, false),
            ("column", DataType::Utf8, true),
            ("reason", DataType::Utf8, false),
            ("text", DataType::Utf8, true),
            ("base64", DataType::Utf8, true),
        ];
        let fields = fields.map(|(name, data_type, nullable)| Field::new(name, data_type, nullable));
        let schema: SchemaRef = Arc::new(Schema::new(fields.to_vec()));
        let sink = FileSink::of_path(options.path.clone())?;
        let mut state = State::default();
        // The first writer takes the output, so that another job's is refused before this one runs.
        state.partitions.insert(0, Partition::new(sink.open(schema.clone(), 0)?));
        Ok(Self { sink, schema, max: options.max, state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn batch(&self, letters: &[DeadLetter]) -> Result<RecordBatch, ConnectError> {
        let number = |of: fn(&DeadLetter) -> u64| -> ArrayRef {
            Arc::new(UInt64Array::from_iter_values(letters.iter().map(of)))
        };
        let texts = letters.iter().map(|letter| std::str::from_utf8(&letter.bytes).ok());
        let coded = letters.iter().map(|letter| match std::str::from_utf8(&letter.bytes) {
            Ok(_) => None,
            Err(_) => Some(base64(&letter.bytes)),
        });
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(letters.iter().map(|letter| &*letter.partition))),
            number(|letter| letter.record),
            number(|letter| letter.offset),
            Arc::new(letters.iter().map(|letter| letter.column.as_deref()).collect::<StringArray>()),
            Arc::new(StringArray::from_iter_values(letters.iter().map(|letter| &letter.reason))),
            Arc::new(texts.collect::<StringArray>()),
            Arc::new(coded.collect::<StringArray>()),
        ];
        RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(|error| ConnectError::arrow(self.sink.name(), error))
    }
}

impl DeadLetters for DeadLetterFile {
    fn put(&self, partition: u32, letters: &[DeadLetter]) -> Result<u64, ConnectError> {
        let mut state = self.lock();
        let passed = state.partitions.get(&partition).map_or(0, |found| found.passed);
        let new = &letters[letters.partition_point(|letter| letter.offset < passed)..];
        let Some(last) = new.last() else { return Ok(0) };
        let room = self.max.map_or(u64::MAX, |max| max.saturating_sub(state.letters));
        let over = usize::try_from(room).ok().and_then(|room| new.get(room));
        if let (Some(letter), Some(max)) = (over, self.max) {
            let location = RowLocation { partition: letter.partition.clone(), row: letter.record - 1 };
            let (name, reason) = (self.sink.name(), letter.reason.clone());
            return Err(ConnectError::TooManyDeadLetters { name, max, location, reason });
        }
        let batch = self.batch(new)?;
        let found = match state.partitions.entry(partition) {
            std::collections::btree_map::Entry::Occupied(found) => found.into_mut(),
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(Partition::new(self.sink.open(self.schema.clone(), partition)?))
            }
        };
        found.writer.write(&batch.into())?;
        found.passed = last.offset + 1;
        state.letters += new.len() as u64;
        Ok(new.len() as u64)
    }

    fn end(&self, partition: u32) -> Result<(), ConnectError> {
        if let Some(found) = self.lock().partitions.get_mut(&partition) {
            // The epoch is that of the commit.
            let staged = found.writer.stage(Epoch::FIRST)?;
            found.ended.push(staged);
        }
        Ok(())
    }
}

impl Sink for DeadLetterFile {
    fn name(&self) -> String {
        self.sink.name()
    }

    fn order(&self) -> SinkOrder {
        self.sink.order()
    }

    fn accepts_changes(&self) -> bool {
        false
    }

    fn open(&self, _schema: SchemaRef, _task: u32) -> Result<Box<dyn SinkWriter>, ConnectError> {
        let reason = "it takes dead letters, which readers put there".to_owned();
        Err(ConnectError::LifeCycle { name: self.name(), reason })
    }

    fn commit(&self, epoch: Epoch, _staged: &[Committable]) -> Result<(), ConnectError> {
        let mut state = self.lock();
        if !state.staged.contains_key(&epoch) {
            let partitions = state.partitions.values_mut();
            let staged = partitions.map(|partition| partition.stage(epoch)).collect::<Result<Vec<_>, _>>()?;
            state.staged.insert(epoch, staged);
        }
        self.sink.commit(epoch, &state.staged[&epoch])
    }

    fn finish(&self) -> Result<(), ConnectError> {
        self.lock().partitions.clear();
        self.sink.finish()
    }

    fn abort(&self) -> Result<(), ConnectError> {
        // Writers remove their own parts, before the sink looks for what is left.
        self.lock().partitions.clear();
        self.sink.abort()
    }
}

/// Bytes as base64 (RFC 4648, with padding).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let sextet = (bits >> (18 - 6 * i)) & 63;
            text.push(if i <= chunk.len() { char::from(ALPHABET[sextet as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_coded_as_in_the_standard() {
        let vectors = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (bytes, wanted) in vectors {
            assert_eq!(base64(bytes.as_bytes()), wanted);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0x3e]), "//4+");
    }

    fn letter(offset: u64) -> DeadLetter {
        DeadLetter {
            partition: "in.csv".into(),
            record: offset + 1,
            offset,
            column: offset.is_multiple_of(2).then(|| "a".to_owned()),
            reason: "expected int64, found \"x\"".to_owned(),
            bytes: if offset == 3 { b"\xff\n".to_vec() } else { b"x\n".to_vec() },
        }
    }

    #[test]
    fn letters_appear_with_the_job_in_order_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.ndjson");
        let file =
            DeadLetterFile::begin(&DeadLetterOptions { path: path.as_path().into(), max: None }).unwrap();
        assert_eq!(file.put(7, &[letter(0)]).unwrap(), 1);
        assert_eq!(file.put(0, &[letter(2), letter(3)]).unwrap(), 2);
        // A second reader of the partition finds the same letters, cut otherwise.
        assert_eq!(file.put(0, &[letter(2)]).unwrap(), 0);
        file.end(0).unwrap();
        file.end(9).unwrap();
        assert_eq!(file.put(0, &[letter(3), letter(4)]).unwrap(), 1);
        assert!(!path.exists());
        for _ in 0..2 {
            file.commit(Epoch::FIRST, &[]).unwrap();
        }
        assert!(!path.exists());
        file.finish().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(
            lines[0],
            "{\"file\":\"in.csv\",\"record\":3,\"offset\":2,\"column\":\"a\",\
             \"reason\":\"expected int64, found \\\"x\\\"\",\"text\":\"x\\n\",\"base64\":null}"
        );
        assert!(
            lines[1].contains("\"column\":null") && lines[1].ends_with("\"text\":null,\"base64\":\"/wo=\"}")
        );
        assert!(lines[3].contains("\"offset\":0"), "{}", lines[3]);
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(names.len(), 1);
    }

    #[test]
    fn a_limit_is_kept_and_nothing_remains_of_a_job_that_fails() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.csv");
        let options = DeadLetterOptions { path: path.as_path().into(), max: Some(2) };
        let file = DeadLetterFile::begin(&options).unwrap();
        let busy = DeadLetterFile::begin(&options).err().unwrap();
        assert!(matches!(busy, ConnectError::OutputBusy { .. }));
        file.put(0, &[letter(0)]).unwrap();
        let over = file.put(1, &[letter(4), letter(5)]).unwrap_err().to_string();
        assert!(over.contains("more than 2 records cannot be read, the last one at in.csv, row 6"), "{over}");
        file.abort().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        drop(DeadLetterFile::begin(&options).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
