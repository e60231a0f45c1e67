//! What cuts have comes back, the newest first.

use super::*;
use crate::block::{BlockError, Origin};
use crate::{GROUP, PART};
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, UInt16Array};
use arrow::datatypes::{Int64Type, Schema, UInt16Type};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot_checkpoint::{BlockId, BlockRef};
use sabot_common::{Epoch, KeyGroupRange, KeyGroups};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

const CHANGING: [&str; 2] = ["sabot.watermark", "sabot.complete"];

fn owned() -> KeyGroupRange {
    KeyGroups::default().range(32..96).unwrap()
}

fn layer(epoch: u64) -> Layer {
    Layer::new(owned(), Origin { generation: 1, epoch: Epoch(epoch) }, &BlockMemory::default())
}

fn with(rows: RecordBatch, metadata: &[(&str, String)]) -> RecordBatch {
    let metadata: HashMap<_, _> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let schema = Schema::clone(rows.schema_ref()).with_metadata(metadata);
    RecordBatch::try_new(Arc::new(schema), rows.columns().to_vec()).unwrap()
}

/// Rows of a kind, ascending by group.
fn rows(kind: &str, mut rows: Vec<(u16, i64)>) -> RecordBatch {
    rows.sort_by_key(|(group, _)| *group);
    let groups: ArrayRef = Arc::new(UInt16Array::from_iter_values(rows.iter().map(|row| row.0)));
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1)));
    let batch = RecordBatch::try_from_iter([(GROUP, groups), ("value", values)]).unwrap();
    with(batch, &[(PART, kind.to_owned())])
}

/// Rows by their kind: group and value.
type Kinds = BTreeMap<&'static str, Vec<(u16, i64)>>;

/// The blocks of a store, which notices when one is written twice.
#[derive(Default)]
struct Blocks(HashMap<BlockId, Vec<u8>>);

impl Blocks {
    fn write(&mut self, blocks: impl IntoIterator<Item = (BlockRef, NewBlock)>) {
        for (block, bytes) in blocks {
            assert_eq!(BlockRef::of(&bytes), block);
            assert!(self.0.insert(block.id, bytes.to_vec()).is_none());
        }
    }

    fn read(&self, layers: &Layers, groups: KeyGroupRange) -> Vec<RecordBatch> {
        let blocks = layers.blocks().map(|block| self.0[&block.id].clone()).collect();
        join_snapshot(blocks, groups).unwrap()
    }
}

#[test]
fn random_cuts_come_back_for_any_groups_and_as_long_as_they_are_needed() {
    let (mut blocks_made, mut dropped) = (0, 0);
    for seed in 0..5 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut layers, mut blocks) = (Layers::default(), Blocks::default());
        // By epoch, newest last, and kind.
        let mut expected: BTreeMap<u64, Kinds> = BTreeMap::new();
        for epoch in 1..12 {
            let mut layer = layer(epoch);
            let mut given = Kinds::new();
            for _ in 0..rng.random_range(0..8) {
                let kind = ["waiting", "groups"][rng.random_range(0..2)];
                let count = [1_000_000, 3, 3, 3, 40, 40, 40, 5000, 5000, 5000][rng.random_range(0..10)];
                let some = (0..count).map(|_| (rng.random_range(32..96), rng.random()));
                let some: Vec<(u16, i64)> = some.collect();
                let block = layer.add(rows(kind, some.clone())).unwrap();
                blocks_made += usize::from(block.is_some());
                blocks.write(block);
                given.entry(kind).or_default().extend(some);
            }
            let since = rng.random_range(1..=epoch);
            let mut these: Vec<Epoch> = (1..=epoch).map(Epoch).collect();
            these.retain(|of| of.0 == epoch || rng.random_bool(0.8));
            let needed = Needed::Kinds(vec![
                ("groups", Needed::Since(Epoch(since))),
                ("waiting", Needed::These(these.clone())),
            ]);
            let head = ["groups", "waiting"].map(|kind| {
                let watermark = ("sabot.watermark", (epoch * 100).to_string());
                with(rows(kind, Vec::new()), &[(PART, kind.to_owned()), watermark])
            });
            expected.insert(epoch, given);
            let (next, new) = layers.end(layer, &needed, &head, &CHANGING).unwrap();
            blocks.write(new);
            // Given up, all that it wrote is nothing to the next one.
            if rng.random_bool(0.2) {
                expected.remove(&epoch);
                continue;
            }
            for (of, kinds) in &mut expected {
                let before = kinds.len();
                kinds.retain(|kind, _| match *kind {
                    "groups" => *of >= since,
                    _ => these.contains(&Epoch(*of)),
                });
                dropped += before - kinds.len();
            }
            layers = next;
            for range in [32..96, 32..40, 40..41, 41..96] {
                let range = KeyGroups::default().range(range).unwrap();
                let mut found: BTreeMap<String, Vec<Vec<(u16, i64)>>> = BTreeMap::new();
                for batch in blocks.read(&layers, range) {
                    let metadata = batch.schema_ref().metadata();
                    assert_eq!(metadata["sabot.watermark"], (epoch * 100).to_string());
                    let groups = batch.column(0).as_primitive::<UInt16Type>().values();
                    let values = batch.column(1).as_primitive::<Int64Type>().values();
                    assert!(groups.is_sorted());
                    let rows = groups.iter().copied().zip(values.iter().copied()).collect();
                    found.entry(metadata[PART].clone()).or_default().push(rows);
                }
                for kind in ["groups", "waiting"] {
                    let mut left: Vec<(u16, i64)> = found.remove(kind).unwrap().concat();
                    // Newest first, within a cut in any order.
                    for given in expected.values().rev().filter_map(|kinds| kinds.get(kind)) {
                        let mut given: Vec<_> =
                            given.iter().filter(|(group, _)| range.contains(*group)).copied().collect();
                        let mut of_cut: Vec<_> = left.drain(..given.len()).collect();
                        given.sort_unstable();
                        of_cut.sort_unstable();
                        assert_eq!(of_cut, given, "seed {seed}, epoch {epoch}, {kind}");
                    }
                    assert!(left.is_empty());
                }
            }
        }
    }
    assert!(blocks_made > 5 && dropped > 20, "{blocks_made} blocks before the end, {dropped} layers gone");
}

#[test]
fn what_cannot_be_a_head_is_refused() {
    let watermark = |time: i64| {
        with(rows("groups", Vec::new()), &[("sabot.watermark", time.to_string()), ("kind", time.to_string())])
    };
    let end = |head: &[RecordBatch]| {
        Layers::default().end(layer(1), &Needed::Since(Epoch(1)), head, &CHANGING).map(|_| ())
    };
    end(&[watermark(0)]).unwrap();
    let error = end(&[watermark(0), watermark(7)]).unwrap_err();
    assert!(matches!(error, BlockError::Rows { .. }));
    assert!(error.to_string().contains("sabot.watermark is 0 in one batch and 7 in another"));
    assert!(join_snapshot(Vec::new(), owned()).unwrap_err().to_string().contains("no head"));
}

#[test]
fn rows_of_other_groups_and_without_groups_are_refused() {
    let error = layer(1).add(rows("groups", vec![(96, 1); 5000])).unwrap_err().to_string();
    assert!(error.contains("key group 96 in a block of 32..96"), "{error}");
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a"; 5000]));
    let error = layer(1).add(RecordBatch::try_from_iter([("text", text)]).unwrap()).unwrap_err().to_string();
    assert!(error.contains("there is no column __sabot.group"), "{error}");
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
    let (batches, mut layer, mut blocks) = ([batch("one"), batch("two")], layer(1), Blocks::default());
    batches.iter().for_each(|rows| assert!(layer.add(rows.clone()).unwrap().is_none()));
    let head = [batches[0].slice(0, 0)];
    let (layers, new) = Layers::default().end(layer, &Needed::Since(Epoch(1)), &head, &CHANGING).unwrap();
    blocks.write(new);
    assert_eq!(blocks.read(&layers, owned()), batches);
    assert!(arrow::compute::concat_batches(batches[0].schema_ref(), &batches).is_err());
}

/// Memory of a block is that of a later one once it is written.
#[test]
fn memory_is_used_again() {
    let memory = BlockMemory::default();
    let place = |epoch: u64| {
        let mut layer = Layer::new(owned(), Origin { generation: 1, epoch: Epoch(epoch) }, &memory);
        let mut rng = ChaCha8Rng::seed_from_u64(epoch);
        loop {
            let some = (0..200_000).map(|_| (40, rng.random())).collect();
            if let Some((_, block)) = layer.add(rows("groups", some)).unwrap() {
                break block.as_ptr();
            }
        }
    };
    assert_eq!(place(1), place(2));
}
