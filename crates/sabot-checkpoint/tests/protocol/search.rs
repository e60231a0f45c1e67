//! Visits every state that can be reached, nearest first, so that what is found wrong has a shortest history.
//!
//! States are remembered by a fingerprint of 128 bits: among a hundred million of them two would be taken for
//! one with a probability of 10⁻²³.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;

use crate::steps::{Choice, apply, choices};
use crate::world::World;

/// What a search has found.
#[derive(Debug)]
pub(crate) struct Visited {
    pub(crate) states: usize,
    pub(crate) steps: usize,
    /// States in which the job has come to its end.
    pub(crate) ends: usize,
    /// States from which it cannot come to its end without further faults; the history of the first.
    pub(crate) stuck: usize,
    pub(crate) stuck_after: Vec<Choice>,
}

/// A rule that is broken, and the shortest way there.
#[derive(Debug)]
pub(crate) struct Broke {
    pub(crate) rule: String,
    pub(crate) history: Vec<Choice>,
    pub(crate) states: usize,
}

/// A hash that folds 64-bit products, twice over, with different multipliers.
struct Fingerprint(u64, u64);

impl Fingerprint {
    fn add(&mut self, word: u64) {
        let fold = |state: u64, by: u64| {
            let product = u128::from(state ^ word).wrapping_mul(u128::from(by));
            (product as u64) ^ ((product >> 64) as u64)
        };
        self.0 = fold(self.0.wrapping_add(0x9e37_79b9_7f4a_7c15), 0xa076_1d64_78bd_642f);
        self.1 = fold(self.1.rotate_left(23).wrapping_add(0xe703_7ed1_a0b4_28db), 0x8ebc_6af0_9c88_c6e3);
    }
}

impl Hasher for Fingerprint {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.add(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.add(u64::from_le_bytes(last));
        self.add(bytes.len() as u64);
    }
    fn write_u8(&mut self, n: u8) {
        self.add(u64::from(n));
    }
    fn write_u32(&mut self, n: u32) {
        self.add(u64::from(n));
    }
    fn write_u64(&mut self, n: u64) {
        self.add(n);
    }
    fn write_u128(&mut self, n: u128) {
        self.add(n as u64);
        self.add((n >> 64) as u64);
    }
    fn write_usize(&mut self, n: usize) {
        self.add(n as u64);
    }
}

/// A table of fingerprints needs no other hash.
#[derive(Default)]
struct KeepLow(u64);

type Keep = BuildHasherDefault<KeepLow>;

impl Hasher for KeepLow {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {}
    fn write_u128(&mut self, n: u128) {
        self.0 = n as u64;
    }
}

/// The fingerprint of something.
pub(crate) fn fingerprint(of: &impl Hash) -> u128 {
    let mut hash = Fingerprint(1, 2);
    of.hash(&mut hash);
    // A few rounds more, so that the last words are mixed as well as the first.
    (0..3).for_each(|n| hash.add(n));
    u128::from(hash.0) << 64 | u128::from(hash.1)
}

/// The fingerprints of a world's parts. A step changes few of them.
struct Prints {
    store: u128,
    past: u128,
    sinks: Vec<u128>,
    writers: Vec<u128>,
}

impl Prints {
    /// The fingerprints of `world`, of which `before` with its own is the one before the last step.
    fn of(world: &World, before: Option<(&World, &Prints)>) -> Self {
        fn one<T: Hash>(new: &Arc<T>, old: Option<(&Arc<T>, u128)>) -> u128 {
            match old {
                Some((old, print)) if Arc::ptr_eq(new, old) => print,
                _ => fingerprint(&**new),
            }
        }
        fn all<T: Hash>(new: &[Arc<T>], old: Option<(&[Arc<T>], &[u128])>) -> Vec<u128> {
            let old = |at: usize| old.and_then(|(old, prints)| Some((old.get(at)?, *prints.get(at)?)));
            new.iter().enumerate().map(|(at, new)| one(new, old(at))).collect()
        }
        Prints {
            store: one(&world.store, before.map(|(old, prints)| (&old.store, prints.store))),
            past: one(&world.past, before.map(|(old, prints)| (&old.past, prints.past))),
            sinks: all(&world.sinks, before.map(|(old, prints)| (&old.sinks[..], &prints.sinks[..]))),
            writers: all(&world.writers, before.map(|(old, prints)| (&old.writers[..], &prints.writers[..]))),
        }
    }

    fn whole(&self, world: &World) -> u128 {
        fingerprint(&(
            self.store,
            self.past,
            &self.sinks,
            &self.writers,
            &world.budget,
            &world.adrift,
            world.now,
        ))
    }
}

/// Visits all states; a broken rule ends the search.
pub(crate) fn search(start: World, states_max: usize) -> Result<Visited, Broke> {
    let prints = Prints::of(&start, None);
    let mut known: HashMap<u128, u32, Keep> = HashMap::default();
    known.insert(prints.whole(&start), 0);
    let mut came_from: Vec<(u32, Option<Choice>)> = vec![(0, None)];
    let mut fault_free: Vec<(u32, u32)> = Vec::new();
    let mut is_end = vec![start.is_finished()];
    let mut layer = vec![(0u32, start, prints)];
    let (mut steps, mut next, mut open) = (0, Vec::new(), Vec::new());
    while !layer.is_empty() {
        for (index, world, prints) in layer.drain(..) {
            choices(&world, &mut open);
            for &choice in &open {
                let mut after = world.clone();
                steps += 1;
                if let Err(rule) = apply(&mut after, choice) {
                    let mut history = history(&came_from, index);
                    history.push(choice);
                    return Err(Broke { rule, history, states: came_from.len() });
                }
                let fresh = came_from.len() as u32;
                let changed = Prints::of(&after, Some((&world, &prints)));
                let to = *known.entry(changed.whole(&after)).or_insert(fresh);
                if !choice.is_fault() {
                    fault_free.push((to, index));
                }
                if to == fresh {
                    came_from.push((index, Some(choice)));
                    is_end.push(after.is_finished());
                    next.push((fresh, after, changed));
                }
            }
            assert!(came_from.len() < states_max, "more than {states_max} states: make the world smaller");
        }
        std::mem::swap(&mut layer, &mut next);
    }
    let reaches_end = backwards(&is_end, fault_free);
    let first_stuck = reaches_end.iter().position(|reaches| !reaches);
    Ok(Visited {
        states: came_from.len(),
        steps,
        ends: is_end.iter().filter(|end| **end).count(),
        stuck: reaches_end.iter().filter(|reaches| !**reaches).count(),
        stuck_after: first_stuck.map(|index| history(&came_from, index as u32)).unwrap_or_default(),
    })
}

/// From which states an end can be reached over `edges`, which are given backwards.
fn backwards(is_end: &[bool], mut edges: Vec<(u32, u32)>) -> Vec<bool> {
    edges.sort_unstable();
    let mut reaches = is_end.to_vec();
    let mut open: Vec<u32> = (0u32..).zip(is_end).filter(|(_, end)| **end).map(|(index, _)| index).collect();
    while let Some(to) = open.pop() {
        let start = edges.partition_point(|(t, _)| *t < to);
        for &(_, from) in edges[start..].iter().take_while(|(t, _)| *t == to) {
            if !std::mem::replace(&mut reaches[from as usize], true) {
                open.push(from);
            }
        }
    }
    reaches
}

fn history(came_from: &[(u32, Option<Choice>)], mut index: u32) -> Vec<Choice> {
    let mut choices = Vec::new();
    while let (before, Some(choice)) = came_from[index as usize] {
        choices.push(choice);
        index = before;
    }
    choices.reverse();
    choices
}

/// The search forgets all of a state but its fingerprint. Here it is told by everything that can be printed of it.
#[test]
fn fingerprints_tell_states_apart() {
    use crate::world::{Budget, Config};
    let start =
        || World::new(&Arc::new(Config::new(&[1, 1], 1)), Budget { epochs: 1, lost: 1, ..Budget::default() });
    let (mut seen, mut open, mut next) = (HashMap::new(), vec![start()], Vec::new());
    seen.insert(format!("{:?}", open[0]), ());
    while let Some(world) = open.pop() {
        choices(&world, &mut next);
        for &choice in &next {
            let mut after = world.clone();
            apply(&mut after, choice).unwrap();
            if seen.insert(format!("{after:?}"), ()).is_none() {
                open.push(after);
            }
        }
    }
    assert_eq!(search(start(), 1_000_000).unwrap().states, seen.len());
}
