//! Dead letters as rows of a file.
//!
//! A file of dead letters is a file like any other that a job writes: staged under hidden names, committed
//! and finished with the job's sinks, gone with a job that fails. Letters are rows, so its format is that
//! of its extension, and whoever repairs them can read it with the same tools.
//!
//! Every partition has a part of its own, and the parts are joined in the order of partitions: the file
//! does not show how many threads read the source. In a job with checkpoints the parts of an epoch stand before those of
//! the next, and when epochs begin is a matter of time.

use arrow::array::{ArrayRef, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use sabot_common::{Epoch, RowLocation};
use sabot_connect::{Committable, ConnectError, DeadLetter, DeadLetters, Sink, SinkOrder, SinkWriter};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
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
    /// The job has checkpoints: its tasks stage, and say what is to be committed.
    resumed: bool,
}

struct Partition {
    /// None where the place is held without a letter.
    name: Option<Arc<str>>,
    writer: Box<dyn SinkWriter>,
    /// What was staged when the partition ended.
    ended: Vec<Committable>,
    /// The place up to which the partition has been passed.
    passed: u64,
}

impl Partition {
    fn new(writer: Box<dyn SinkWriter>) -> Self {
        Self { name: None, writer, ended: Vec::new(), passed: 0 }
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
    /// Letters for a job, which has not taken the file yet.
    pub(crate) fn new(options: &DeadLetterOptions) -> Result<Self, ConnectError> {
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
        Ok(Self { sink, schema, max: options.max, state: Mutex::default() })
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

impl State {
    /// The place of a partition, made if it is not there.
    fn partition(&mut self, number: u32, file: &DeadLetterFile) -> Result<&mut Partition, ConnectError> {
        Ok(match self.partitions.entry(number) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(free) => free.insert(Partition::new(file.sink.open(file.schema.clone(), number)?)),
        })
    }
}

impl DeadLetters for DeadLetterFile {
    fn take(&self) -> Result<(), ConnectError> {
        // The first writer takes the output, so that another job's is refused before this one runs.
        self.lock().partition(0, self).map(drop)
    }

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
        let name = last.partition.clone();
        let found = state.partition(partition, self)?;
        found.name = Some(name);
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

    fn stage(&self, task: u32, partitions: &[Arc<str>], epoch: Epoch) -> Result<Committable, ConnectError> {
        let mut state = self.lock();
        if task == 0 && state.partitions.is_empty() {
            // A file without letters appears as well, and it has to be told from one that is finished.
            state.partition(0, self)?;
        }
        let mut all = Committable { epoch, task, rows: 0, parts: Vec::new() };
        for found in state.partitions.values_mut() {
            if found.name.as_ref().map_or(task == 0, |name| partitions.contains(name)) {
                let staged = found.stage(epoch)?;
                all.rows += staged.rows;
                all.parts.extend(staged.parts);
            }
        }
        Ok(all)
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

    fn is_transactional(&self) -> bool {
        self.sink.is_transactional()
    }

    fn resume(&self, _schema: SchemaRef) -> Result<(), ConnectError> {
        let mut state = self.lock();
        *state = State { resumed: true, ..State::default() };
        self.sink.resume(self.schema.clone())
    }

    fn visible_after(&self, epoch: Epoch) -> Result<bool, ConnectError> {
        self.sink.visible_after(epoch)
    }

    fn clean(&self, generation: u64) -> Result<(), ConnectError> {
        self.sink.clean(generation)
    }

    fn commit(&self, epoch: Epoch, staged: &[Committable]) -> Result<(), ConnectError> {
        let mut state = self.lock();
        if state.resumed {
            return self.sink.commit(epoch, staged);
        }
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
            DeadLetterFile::new(&DeadLetterOptions { path: path.as_path().into(), max: None }).unwrap();
        file.take().unwrap();
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
        let file = DeadLetterFile::new(&options).unwrap();
        file.take().unwrap();
        let busy = DeadLetterFile::new(&options).unwrap().take().unwrap_err();
        assert!(matches!(busy, ConnectError::OutputBusy { .. }));
        file.put(0, &[letter(0)]).unwrap();
        let over = file.put(1, &[letter(4), letter(5)]).unwrap_err().to_string();
        assert!(over.contains("more than 2 records cannot be read, the last one at in.csv, row 6"), "{over}");
        file.abort().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let file = DeadLetterFile::new(&options).unwrap();
        file.take().unwrap();
        drop(file);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    /// What was put before a barrier belongs to its epoch; what came after is found again by whoever goes on.
    #[test]
    fn letters_of_a_job_that_goes_on_appear_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.ndjson");
        let options = DeadLetterOptions { path: path.as_path().into(), max: None };
        let begin = |generation| {
            let file = DeadLetterFile::new(&options).unwrap();
            file.resume(file.schema.clone()).unwrap();
            (file, generation)
        };
        let (file, generation) = begin(1);
        file.clean(generation).unwrap();
        file.put(0, &[letter(2)]).unwrap();
        let mine: [Arc<str>; 1] = ["in.csv".into()];
        let first = file.stage(0, &mine, Epoch(2)).unwrap();
        assert_eq!((first.rows, file.stage(1, &["other.csv".into()], Epoch(2)).unwrap().rows), (1, 0));
        file.commit(Epoch(2), std::slice::from_ref(&first)).unwrap();
        file.put(0, &[letter(4)]).unwrap();
        drop(file); // killed

        let (file, generation) = begin(2);
        file.commit(Epoch(2), &[first]).unwrap();
        file.clean(generation).unwrap();
        file.put(0, &[letter(4)]).unwrap();
        file.end(0).unwrap();
        let last = file.stage(0, &mine, Epoch(5)).unwrap();
        file.commit(Epoch(5), &[last]).unwrap();
        assert!(!path.exists());
        file.finish().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let offsets: Vec<&str> = text
            .lines()
            .map(|line| line.split_once("\"offset\":").unwrap().1.split_once(',').unwrap().0)
            .collect();
        assert_eq!(offsets, ["2", "4"], "{text}");
    }
}
