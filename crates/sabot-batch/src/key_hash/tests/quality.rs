//! Whether the hash spreads what keys look like in practice, in both halves.
//!
//! Key groups read the upper word; radix passes and tables read the low bits. Limits are far enough from
//! the expectation (six standard deviations and more) that a good hash never meets them, and near enough
//! that the canary does.

use super::super::encode;
use super::super::lanes::{self, Encoded};
use sabot_common::KeyGroups;

const KEYS: u64 = 1 << 17;

fn hash_of(seed: u64, key: &[Encoded]) -> u64 {
    let (mut a, mut b) = lanes::start(seed);
    for value in key {
        (a, b) = lanes::absorb(a, b, *value);
    }
    lanes::join(lanes::finish(a, b))
}

/// How far bucket counts are from uniform: chi-square, in standard deviations from its mean.
fn deviation(hashes: &[u64], buckets: usize, bucket_of: impl Fn(u64) -> usize) -> f64 {
    let mut counts = vec![0f64; buckets];
    for &hash in hashes {
        counts[bucket_of(hash)] += 1.0;
    }
    let expected = hashes.len() as f64 / buckets as f64;
    let chi_square: f64 = counts.iter().map(|c| (c - expected) * (c - expected) / expected).sum();
    let freedom = (buckets - 1) as f64;
    (chi_square - freedom) / (2.0 * freedom).sqrt()
}

/// The worst deviation over the ways that Sabot cuts a hash, with the name of that way.
fn worst_deviation(hashes: &[u64]) -> (f64, String) {
    let mut worst = (0f64, String::new());
    let mut keep = |deviation: f64, name: String| {
        if deviation > worst.0 {
            worst = (deviation, name);
        }
    };
    for bits in [8, 12] {
        for shift in [0, 8, 16] {
            let low = |h: u64| ((h >> shift) & ((1 << bits) - 1)) as usize;
            keep(deviation(hashes, 1 << bits, low), format!("{bits} bits from bit {shift}"));
        }
    }
    for groups in [100, 128, 4096] {
        let groups = KeyGroups::new(groups).unwrap();
        let group = |h: u64| usize::from(groups.group_of(h));
        keep(deviation(hashes, usize::from(groups.count()), group), format!("{} groups", groups.count()));
    }
    worst
}

fn distinct(mut words: Vec<u64>) -> usize {
    words.sort_unstable();
    words.dedup();
    words.len()
}

fn text(s: &str) -> Encoded {
    encode::text(lanes::start(7), s.as_bytes())
}

type Pattern = (&'static str, fn(i64) -> Vec<Encoded>);

const PATTERNS: [Pattern; 13] = [
    ("sequential", |i| vec![encode::signed(i)]),
    ("sequential, negative", |i| vec![encode::signed(-i)]),
    ("thousands", |i| vec![encode::signed(i * 1000 + 7)]),
    ("low word constant", |i| vec![encode::signed(i << 32)]),
    ("only the highest bits", |i| vec![encode::signed(i << 46)]),
    ("hours in microseconds", |i| vec![encode::micros(encode::tag::TIMESTAMP, i * 3_600_000_000)]),
    ("whole floats", |i| vec![encode::float(i as f64)]),
    ("digits", |i| vec![text(&i.to_string())]),
    ("padded names", |i| vec![text(&format!("key{i:08}"))]),
    ("long names", |i| vec![text(&format!("customer-{i}-of-the-shop"))]),
    ("pairs of small numbers", |i| vec![encode::signed(i >> 9), encode::signed(i & 511)]),
    ("pairs of floats", |i| vec![encode::float((i >> 9) as f64), encode::float((i & 511) as f64)]),
    ("seventeen booleans", |i| (0..17).map(|bit| encode::boolean(i >> bit & 1 == 1)).collect()),
];

#[test]
fn usual_keys_fill_groups_and_buckets_evenly() {
    for (name, key) in PATTERNS {
        let hashes: Vec<u64> = (0..KEYS.cast_signed()).map(|i| hash_of(7, &key(i))).collect();
        let (worst, cut) = worst_deviation(&hashes);
        assert!(worst < 6.0, "{name}: {cut} are {worst:.1} standard deviations from uniform");
        // 2^17 random keys share a 32-bit half twice on average, and the whole never.
        let low = hashes.iter().map(|h| h & 0xffff_ffff).collect();
        let high = hashes.iter().map(|h| h >> 32).collect();
        assert!(distinct(low) + 16 > hashes.len(), "{name}: the low halves collide");
        assert!(distinct(high) + 16 > hashes.len(), "{name}: the high halves collide");
        assert_eq!(distinct(hashes), KEYS as usize, "{name}");
    }
}

/// The canary: a multiplicative hash, which looks well on sequential numbers, fails the same limits.
#[test]
fn a_weak_hash_would_be_noticed() {
    let weak = |i: i64| (i << 32).cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let hashes: Vec<u64> = (0..KEYS.cast_signed()).map(weak).collect();
    assert!(worst_deviation(&hashes).0 > 6.0);
}

#[test]
fn every_bit_of_a_value_turns_every_bit_of_the_hash_half_of_the_time() {
    const TRIALS: u64 = 4096;
    // Position of the changed column within the key, and the key's columns.
    for (position, columns) in [(0, 1), (0, 3), (1, 2)] {
        for bit in 0..64 {
            let mut turned = [0u64; 64];
            for trial in 0..TRIALS {
                let hash = |value: u64| {
                    let mut key = vec![encode::signed(5); columns];
                    key[position] = encode::signed(value.cast_signed());
                    hash_of(99, &key)
                };
                let change = hash(trial) ^ hash(trial ^ 1 << bit);
                for (out, count) in turned.iter_mut().enumerate() {
                    *count += change >> out & 1;
                }
            }
            for (out, count) in turned.iter().enumerate() {
                // One standard deviation is 1/128 of the trials; 12,288 cells stay within 6.
                let share = *count as f64 / TRIALS as f64;
                assert!((share - 0.5).abs() < 6.0 / 128.0, "bit {bit} turns bit {out} in {share} of cases");
            }
        }
    }
}

#[test]
fn seeds_give_unrelated_hashes() {
    let key = [encode::signed(42)];
    let hashes: Vec<u64> = (0..KEYS).map(|seed| hash_of(seed, &key)).collect();
    assert!(worst_deviation(&hashes).0 < 6.0);
    assert_eq!(distinct(hashes), KEYS as usize);
}
