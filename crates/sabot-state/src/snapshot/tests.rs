//! Snapshots come back whole, and what has not changed is not written.

use super::*;
use crate::GROUP;
use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray, UInt16Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, UInt16Type};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot_common::{Epoch, KeyGroups};
use std::collections::BTreeMap;
use std::sync::Arc;

const CHANGING: [&str; 2] = ["sabot.watermark", "sabot.complete"];
const SIZES: BlockSizes = BlockSizes { split_above: 2000, merge_below: 700 };

fn owned() -> KeyGroupRange {
    KeyGroups::default().range(32..96).unwrap()
}

fn origin(epoch: u64) -> Origin {
    Origin { generation: 1, epoch: Epoch(epoch) }
}

/// State of an operator with two kinds of rows, the first in panes: by pane and group, values in order.
#[derive(Clone, Debug, Default, PartialEq)]
struct Operator {
    panes: BTreeMap<i64, BTreeMap<u16, Vec<i64>>>,
    texts: BTreeMap<u16, Vec<String>>,
    watermark: i64,
}

impl Operator {
    fn schema(&self, kind: &str) -> Arc<Schema> {
        let column = match kind {
            "panes" => {
                vec![Field::new("pane", DataType::Int64, false), Field::new("value", DataType::Int64, false)]
            }
            _ => vec![Field::new("text", DataType::Utf8, false)],
        };
        let fields: Vec<Field> =
            std::iter::once(Field::new(GROUP, DataType::UInt16, false)).chain(column).collect();
        let watermark = ("sabot.watermark".to_owned(), self.watermark.to_string());
        Arc::new(
            Schema::new(fields)
                .with_metadata(HashMap::from([watermark, ("kind".to_owned(), kind.to_owned())])),
        )
    }

    fn snapshot(&self, ranges: &[KeyGroupRange]) -> Vec<RecordBatch> {
        let is_in = |group: &u16| ranges.iter().any(|range| range.contains(*group));
        let mut batches = Vec::new();
        for (pane, groups) in &self.panes {
            let rows = groups.iter().filter(|(group, _)| is_in(group));
            let rows: Vec<(u16, i64)> =
                rows.flat_map(|(group, values)| values.iter().map(|v| (*group, *v))).collect();
            let columns: Vec<ArrayRef> = vec![
                Arc::new(UInt16Array::from_iter_values(rows.iter().map(|row| row.0))),
                Arc::new(Int64Array::from(vec![*pane; rows.len()])),
                Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))),
            ];
            batches.push(RecordBatch::try_new(self.schema("panes"), columns).unwrap());
        }
        let rows = self.texts.iter().filter(|(group, _)| is_in(group));
        let rows: Vec<(u16, &String)> =
            rows.flat_map(|(group, texts)| texts.iter().map(|t| (*group, t))).collect();
        if self.panes.is_empty() || !rows.is_empty() {
            let columns: Vec<ArrayRef> = vec![
                Arc::new(UInt16Array::from_iter_values(rows.iter().map(|row| row.0))),
                Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1))),
            ];
            batches.push(RecordBatch::try_new(self.schema("texts"), columns).unwrap());
        }
        batches
    }

    fn restore(batches: &[RecordBatch]) -> Self {
        let mut operator = Operator::default();
        assert!(!batches.is_empty());
        for batch in batches {
            let metadata = batch.schema_ref().metadata();
            operator.watermark = metadata["sabot.watermark"].parse().unwrap();
            let groups = batch.column(0).as_primitive::<UInt16Type>();
            for (row, group) in groups.values().iter().enumerate() {
                if metadata["kind"] == "panes" {
                    let at = |column: usize| batch.column(column).as_primitive::<Int64Type>().value(row);
                    operator.panes.entry(at(1)).or_default().entry(*group).or_default().push(at(2));
                } else {
                    let text = batch.column(1).as_string::<i32>().value(row).to_owned();
                    operator.texts.entry(*group).or_default().push(text);
                }
            }
        }
        operator
    }

    fn within(&self, range: KeyGroupRange) -> Self {
        let mut part = self.clone();
        part.panes
            .values_mut()
            .for_each(|groups| groups.retain(|group, values| range.contains(*group) && !values.is_empty()));
        part.panes.retain(|_, groups| !groups.is_empty());
        part.texts.retain(|group, _| range.contains(*group));
        part
    }

    /// Changes a group: adds, overwrites, removes, or makes it very large.
    fn change(&mut self, group: u16, rng: &mut ChaCha8Rng) {
        let pane = rng.random_range(0..4);
        match rng.random_range(0..8) {
            0 => {
                self.texts.remove(&group);
                self.panes.values_mut().for_each(|groups| {
                    groups.remove(&group);
                });
            }
            1 => self.texts.entry(group).or_default().push("text ".repeat(rng.random_range(0..30))),
            2 => {
                let values = self.panes.entry(pane).or_default().entry(group).or_default();
                values.iter_mut().for_each(|value| *value += 1);
            }
            3 if rng.random_bool(0.2) => {
                self.panes.entry(pane).or_default().insert(group, (0..rng.random_range(100..900)).collect());
            }
            _ => self.panes.entry(pane).or_default().entry(group).or_default().push(rng.random_range(0..9)),
        }
    }
}

/// A store that notices when a block that was not written is named.
#[derive(Default)]
struct Blocks(HashMap<BlockId, Vec<u8>>);

impl Blocks {
    fn write(&mut self, cut: &Cut) {
        for block in &cut.blocks {
            if let Some(bytes) = &block.bytes {
                assert_eq!(BlockRef::of(bytes), block.block);
                self.0.insert(block.block.id, bytes.clone());
            }
        }
    }

    fn read(&self, cut: &Cut) -> Vec<Vec<u8>> {
        cut.blocks.iter().map(|block| self.0[&block.block.id].clone()).collect()
    }
}

#[test]
fn epochs_of_random_changes_come_back() {
    let (mut written, mut whole, mut reused) = (0, 0, 0);
    for seed in 0..40 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut operator, mut blocks) = (Operator::default(), Blocks::default());
        let mut cutter = SnapshotCutter::new(owned(), SIZES, &CHANGING);
        let mut dirty: Vec<u16> = Vec::new();
        for epoch in 1..30 {
            operator.watermark += 5;
            let hot = owned().start + rng.random_range(0..50);
            let changes = rng.random_range(0..12) * if epoch == 1 { 50 } else { 1 };
            for _ in 0..changes {
                let group = if epoch == 1 { rng.random_range(32..96) } else { hot + rng.random_range(0..14) };
                operator.change(group, &mut rng);
                dirty.push(group);
            }
            let ranges = cutter.ranges(|group| dirty.contains(&group));
            let cut = cutter.cut(&ranges, &operator.snapshot(&ranges), origin(epoch)).unwrap();
            blocks.write(&cut);
            let expected = operator.within(owned());
            let back = join_snapshot(blocks.read(&cut), owned()).unwrap();
            assert_eq!(Operator::restore(&back), expected, "seed {seed}, epoch {epoch}");
            // Other tasks take their share.
            for range in [32..40, 40..41, 41..96] {
                let range = KeyGroups::default().range(range).unwrap();
                let back = join_snapshot(blocks.read(&cut), range).unwrap();
                assert_eq!(Operator::restore(&back), expected.within(range));
            }
            if rng.random_bool(0.7) {
                cutter.stored(&cut);
                dirty.clear();
            }
            written += cut.bytes_to_write();
            whole += cut.blocks.iter().map(|block| block.block.bytes).sum::<u64>();
            reused += cut.blocks.iter().filter(|block| block.bytes.is_none()).count();
            if rng.random_bool(0.1) {
                // A restart: the cutter goes on from the blocks of the epoch, dirty or not.
                let headers =
                    |block: &CutBlock| (block.block, Header::read(&blocks.0[&block.block.id]).unwrap());
                let headers: Vec<_> = cut.blocks.iter().map(headers).collect();
                cutter = SnapshotCutter::new(owned(), SIZES, &CHANGING).resume(&headers);
                dirty.clear();
            }
        }
    }
    assert!(
        reused > 1000 && written * 2 < whole,
        "{reused} blocks were named again, {written} of {whole} bytes"
    );
}

#[test]
fn only_what_has_changed_is_written() {
    let mut operator = Operator::default();
    for group in 32..96 {
        operator.panes.entry(0).or_default().insert(group, vec![1; 40]);
    }
    let mut cutter = SnapshotCutter::new(owned(), SIZES, &CHANGING);
    let all = cutter.ranges(|_| false);
    assert_eq!(all, [owned()]);
    let first = cutter.cut(&all, &operator.snapshot(&all), origin(1)).unwrap();
    assert!(first.blocks.iter().all(|block| block.bytes.is_some()));
    cutter.stored(&first);

    // Nothing has changed but the watermark: the head.
    operator.watermark = 9;
    let none = cutter.ranges(|_| false);
    assert!(none.is_empty());
    let second = cutter.cut(&none, &operator.snapshot(&none), origin(2)).unwrap();
    assert!(second.blocks[0].bytes.is_some() && second.blocks[1..].iter().all(|block| block.bytes.is_none()));

    // Everything is snapshot, because nobody knows better: the same blocks are found.
    let third = cutter.cut(&all, &operator.snapshot(&all), origin(2)).unwrap();
    assert_eq!(third.blocks, second.blocks);
    let bytes: u64 = first.blocks[1..].iter().map(|block| block.block.bytes).sum();
    assert!(third.bytes_to_write() * 4 < bytes);

    // One value: one block.
    cutter.stored(&second);
    operator.panes.get_mut(&0).unwrap().get_mut(&50).unwrap()[7] = 2;
    let dirty = cutter.ranges(|group| group == 50);
    assert!(dirty.len() == 1 && dirty[0].contains(50) && dirty[0].len() <= 4, "{dirty:?}");
    let fourth = cutter.cut(&dirty, &operator.snapshot(&dirty), origin(3)).unwrap();
    assert_eq!(fourth.blocks[1..].iter().filter(|block| block.bytes.is_some()).count(), 1);
    assert_eq!(fourth.blocks.len(), first.blocks.len());
}

#[test]
fn rows_that_are_added_to_a_large_group_write_its_last_run() {
    let mut operator = Operator::default();
    operator.panes.entry(0).or_default().insert(40, (0..2000).collect());
    let mut cutter = SnapshotCutter::new(owned(), SIZES, &CHANGING);
    let all = cutter.ranges(|_| true);
    let first = cutter.cut(&all, &operator.snapshot(&all), origin(1)).unwrap();
    assert!(first.blocks.len() > 10 && first.blocks.iter().all(|block| block.block.bytes < 6000));
    cutter.stored(&first);
    operator.panes.get_mut(&0).unwrap().get_mut(&40).unwrap().push(-1);
    let dirty = cutter.ranges(|group| group == 40);
    let second = cutter.cut(&dirty, &operator.snapshot(&dirty), origin(2)).unwrap();
    assert_eq!(second.blocks[1..].iter().filter(|block| block.bytes.is_some()).count(), 1);
}

#[test]
fn ranges_are_cut_where_they_always_are() {
    let range = |start, end| KeyGroupRange { start, end };
    assert_eq!(layout::middle(range(0, 128)), Some(64));
    assert_eq!(layout::middle(range(32, 96)), Some(64));
    assert_eq!(layout::middle(range(33, 40)), Some(36));
    assert_eq!(layout::middle(range(43, 86)), Some(64));
    assert_eq!(layout::middle(range(5, 6)), None);
    assert_eq!(layout::middle(range(5, 5)), None);
    assert_eq!(layout::middle(range(0, 32_768)), Some(16_384));
    // Growth in one group leaves the boundaries of the others.
    let sizes = BlockSizes { split_above: 100, merge_below: 30 };
    let cut = |pieces: &[Piece], heavy: u64| {
        let size = move |range: KeyGroupRange| {
            (range.start..range.end).map(|group| if group == 77 { heavy } else { 10 }).sum()
        };
        layout::cut(pieces, &[range(0, 128)], sizes, &size)
    };
    let even = cut(&layout::unknown(range(0, 128)), 10);
    assert!(even.iter().all(|piece| piece.groups.len() == 8));
    let heavy = cut(&even, 5000);
    let same = even.iter().filter(|piece| heavy.iter().any(|other| other.groups == piece.groups)).count();
    assert_eq!((same, heavy.len()), (15, 19));
    // And boundaries do not come and go with every row.
    assert_eq!(cut(&heavy, 10).len(), 18);
    assert_eq!(cut(&even, 25).len(), 16);
}

#[test]
fn what_was_not_asked_for_is_refused() {
    let mut operator = Operator::default();
    operator.change(50, &mut ChaCha8Rng::seed_from_u64(3));
    operator.panes.entry(0).or_default().insert(60, vec![1]);
    let cutter = SnapshotCutter::new(owned(), SIZES, &CHANGING);
    let all = [owned()];
    let said = |covered: &[KeyGroupRange], batches: &[RecordBatch]| {
        cutter.cut(covered, batches, origin(1)).unwrap_err().to_string()
    };
    let batches = operator.snapshot(&all);
    assert!(
        said(&[], &operator.snapshot(&[])).contains("key groups 32..96 are in no block and in no snapshot")
    );
    let half = KeyGroupRange { start: 32, end: 64 };
    assert!(said(&[half], &operator.snapshot(&[half])).contains("not those that were asked for"));
    operator.panes.entry(0).or_default().insert(96, vec![1]);
    let more = operator.snapshot(&[KeyGroups::default().all()]);
    assert!(said(&all, &more).contains("1 rows are of key groups that were not asked for"));
    operator.watermark = 7;
    let two: Vec<RecordBatch> = batches.into_iter().chain(operator.snapshot(&all)).collect();
    assert!(said(&all, &two).contains("sabot.watermark is 0 in one batch and 7 in another"));
    assert!(join_snapshot(Vec::new(), owned()).unwrap_err().to_string().contains("no head"));
}

#[test]
fn a_task_without_groups_has_a_head() {
    let nothing = KeyGroupRange { start: 5, end: 5 };
    let mut cutter = SnapshotCutter::new(nothing, SIZES, &CHANGING);
    let operator = Operator { watermark: 42, ..Operator::default() };
    let cut = cutter.cut(&cutter.ranges(|_| true), &operator.snapshot(&[]), origin(1)).unwrap();
    cutter.stored(&cut);
    assert_eq!(cut.blocks.len(), 1);
    let back = join_snapshot(vec![cut.blocks[0].bytes.clone().unwrap()], owned()).unwrap();
    assert_eq!(Operator::restore(&back), operator);
}

#[test]
fn dictionaries_that_cannot_be_joined_stay_apart() {
    let batch = |text: &str| {
        let texts: Vec<String> = (0..100).map(|i| format!("{text} {i}")).collect();
        let dictionary: arrow::array::DictionaryArray<arrow::datatypes::Int8Type> =
            texts.iter().map(String::as_str).collect();
        let groups: ArrayRef = Arc::new(UInt16Array::from(vec![40; 100]));
        RecordBatch::try_from_iter([(GROUP, groups), ("text", Arc::new(dictionary) as ArrayRef)]).unwrap()
    };
    let batches = [batch("one"), batch("two")];
    let cutter = SnapshotCutter::new(owned(), BlockSizes::default(), &CHANGING);
    let cut = cutter.cut(&[owned()], &batches, origin(1)).unwrap();
    let blocks = cut.blocks.into_iter().filter_map(|block| block.bytes).collect();
    assert_eq!(join_snapshot(blocks, owned()).unwrap(), batches);
    assert!(concat_batches(batches[0].schema_ref(), &batches).is_err());
}

#[test]
fn canary_a_change_that_nobody_tells_of_is_lost() {
    let mut operator = Operator::default();
    operator.panes.entry(0).or_default().extend((32..96).map(|group| (group, vec![1; 40])));
    let (mut cutter, mut blocks) = (SnapshotCutter::new(owned(), SIZES, &CHANGING), Blocks::default());
    let all = cutter.ranges(|_| true);
    let first = cutter.cut(&all, &operator.snapshot(&all), origin(1)).unwrap();
    blocks.write(&first);
    cutter.stored(&first);
    operator.panes.get_mut(&0).unwrap().get_mut(&50).unwrap().push(2);
    let dirty = cutter.ranges(|group| group == 90);
    let second = cutter.cut(&dirty, &operator.snapshot(&dirty), origin(2)).unwrap();
    blocks.write(&second);
    assert_ne!(Operator::restore(&join_snapshot(blocks.read(&second), owned()).unwrap()), operator);
}
