//! Random numbers that are the same everywhere.
//!
//! Every draw belongs to a stream that is named by what it is for (a card, a card on a day), so nothing depends
//! on the order in which streams are asked. Logarithms and exponentials are those of the crate `libm`: the ones
//! of the platform differ between platforms in the last bit, and one bit is enough to make another data set.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::collections::BTreeSet;

/// What a stream of random numbers is for. The numbers are part of the data: they are never used anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Where a terminal stands.
    Terminal = 1,
    /// Where a card lives, how much and how often it pays.
    Card = 2,
    /// How many transactions a card makes on each day.
    Counts = 3,
    /// Which of too many transactions stay.
    Surplus = 4,
    /// The transactions of a card on a day.
    Transactions = 5,
    /// Which terminals are compromised on a day.
    Compromised = 6,
    /// Which cards are leaked on a day, and which of their transactions are fraudulent.
    Leaked = 7,
}

/// Bits of a stream's number that tell streams of one purpose apart.
const INDEX_BITS: u32 = 56;

/// All streams of a seed.
#[derive(Clone, Debug)]
pub(crate) struct Streams(ChaCha8Rng);

impl Streams {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// The stream of a purpose with a number, from its beginning.
    pub(crate) fn get(&self, purpose: Purpose, index: u64) -> Random {
        let mut stream = self.0.clone();
        stream.set_stream(((purpose as u64) << INDEX_BITS) | index);
        Random(stream)
    }
}

/// One stream of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    /// From 0 to 1, which is not reached: 53 random bits.
    pub(crate) fn unit(&mut self) -> f64 {
        const ULP: f64 = 1.0 / (1u64 << 53) as f64;
        (self.0.next_u64() >> 11) as f64 * ULP
    }

    /// From one number to another, which is not reached.
    pub(crate) fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// A whole number below `end`; 0 where there is none. The bias of the product is below 2⁻³².
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        ((u128::from(self.0.next_u64()) * u128::from(end)) >> 64) as u32
    }

    /// Two independent numbers with mean 0 and deviation 1, by Marsaglia's polar method.
    pub(crate) fn normals(&mut self) -> (f64, f64) {
        loop {
            let (x, y) = (self.uniform(-1.0, 1.0), self.uniform(-1.0, 1.0));
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                let factor = (-2.0 * libm::log(square) / square).sqrt();
                return (x * factor, y * factor);
            }
        }
    }

    /// Different whole numbers below `end`, in order; all of them where fewer are there than asked for.
    pub(crate) fn distinct(&mut self, count: u32, end: u32) -> Vec<u32> {
        if count >= end {
            return (0..end).collect();
        }
        let mut found = BTreeSet::new();
        while found.len() < count as usize {
            found.insert(self.below(end));
        }
        found.into_iter().collect()
    }
}

/// Chooses exactly so many of so many that come one after the other, all choices being equally likely.
/// (Knuth, The Art of Computer Programming, volume 2, algorithm S.)
#[derive(Debug)]
pub(crate) struct Choice {
    random: Random,
    /// How many may still be chosen.
    wanted: u64,
    /// How many have still to come.
    left: u64,
}

impl Choice {
    pub(crate) fn new(random: Random, wanted: u64, left: u64) -> Self {
        Self { random, wanted, left }
    }

    /// Whether the next one is chosen.
    pub(crate) fn next(&mut self) -> bool {
        // Where all or none are left to choose, nothing is drawn.
        let chosen = match self.wanted {
            0 => false,
            wanted if wanted >= self.left => true,
            wanted => self.random.unit() * (self.left as f64) < wanted as f64,
        };
        self.left = self.left.saturating_sub(1);
        self.wanted -= u64::from(chosen);
        chosen
    }
}

/// Whole numbers with a mean, as often as independent events come in a day.
///
/// They are counted by multiplying uniform numbers until the product is below e⁻ᵐ. For a large mean that power
/// would be 0, so it is a sum of several counts with small means.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Poisson {
    parts: u32,
    limit: f64,
}

impl Poisson {
    /// The mean of one part: e⁻¹⁶ is far from the smallest double, and 16 uniform numbers are soon drawn.
    const PART_MAX: f64 = 16.0;

    pub(crate) fn new(mean: f64) -> Self {
        let parts = (mean / Self::PART_MAX).ceil().max(1.0);
        Self { parts: parts as u32, limit: libm::exp(-mean / parts) }
    }

    pub(crate) fn draw(self, random: &mut Random) -> u32 {
        let mut count = 0;
        for _ in 0..self.parts {
            let mut product = random.unit();
            while product > self.limit {
                count += 1;
                product *= random.unit();
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(values: impl Iterator<Item = f64>) -> (f64, f64) {
        let values: Vec<f64> = values.collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (mean, values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64)
    }

    #[test]
    fn streams_are_their_own_and_begin_anew() {
        let streams = Streams::new(7);
        let first = |purpose, index| streams.get(purpose, index).0.next_u64();
        assert_eq!(first(Purpose::Card, 3), first(Purpose::Card, 3));
        assert_ne!(first(Purpose::Card, 3), first(Purpose::Card, 4));
        assert_ne!(first(Purpose::Card, 3), first(Purpose::Counts, 3));
        assert_ne!(first(Purpose::Card, 3), Streams::new(8).get(Purpose::Card, 3).0.next_u64());
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut random = Streams::new(1).get(Purpose::Card, 0);
        let (mean, variance) = moments((0..200_000).map(|_| random.normals().0));
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
        for wanted in [0.3, 4.0, 15.9, 16.1, 1_000.0] {
            let poisson = Poisson::new(wanted);
            let (mean, variance) = moments((0..20_000).map(|_| f64::from(poisson.draw(&mut random))));
            assert!((mean / wanted - 1.0).abs() < 0.05, "{wanted}: {mean}");
            assert!((variance / wanted - 1.0).abs() < 0.06, "{wanted}: {variance}");
        }
        assert_eq!(Poisson::new(0.0).draw(&mut random), 0);
        let (mean, _) = moments((0..10_000).map(|_| f64::from(random.below(10))));
        assert!((mean - 4.5).abs() < 0.1, "{mean}");
    }

    #[test]
    fn exactly_as_many_are_chosen_as_are_wanted() {
        let streams = Streams::new(3);
        let mut hits = [0u32; 10];
        for round in 0..3_000 {
            let mut choice = Choice::new(streams.get(Purpose::Surplus, round), 4, 10);
            let chosen: Vec<usize> = (0..10).filter(|_| choice.next()).collect();
            assert_eq!(chosen.len(), 4);
            chosen.into_iter().for_each(|i| hits[i] += 1);
        }
        assert!(hits.iter().all(|hits| (1_050..1_350).contains(hits)), "each as likely: {hits:?}");
        let distinct = streams.get(Purpose::Leaked, 0).distinct(5, 6);
        assert_eq!(distinct.len(), 5);
        assert!(distinct.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(streams.get(Purpose::Leaked, 0).distinct(9, 3), [0, 1, 2]);
    }
}
