//! How many different values: HyperLogLog.
//!
//! A value's hash (the key hash under [`HLL_SEED`]) picks one of 4,096 registers by its upper 12 bits; the
//! register keeps the largest rank seen, which is the number of leading zeros of the other 52 bits plus one.
//! The estimate is Ertl's improved raw estimator (*New cardinality estimation algorithms for HyperLogLog
//! sketches*, 2017, algorithm 6), which needs no table of corrections at either end; its standard error is
//! 1.04 / √4096 = 1.6 %.
//!
//! The bytes, of which there is one form for each set of registers:
//!
//! * with at most 1,365 registers in use: `01`, then for each its number (2 bytes, big end first) and its
//!   rank (1 byte), ascending by number;
//! * with more: `02`, then the ranks of all 4,096 registers, one byte each.

use super::SketchError;

/// Seed of the key hash under which values are hashed. Fixed, so that sketches of different pipelines merge.
pub const HLL_SEED: u64 = 0x5361_626f_7448_4c4c;

const PRECISION: u32 = 12;
const REGISTERS: usize = 1 << PRECISION;
/// Bits of the hash that make the rank; the largest rank is one more.
const RANK_BITS: u32 = 64 - PRECISION;
/// With more registers than that the sparse form would be longer than the dense one.
const SPARSE_MAX: usize = REGISTERS / 3;
const SPARSE: u8 = 1;
const DENSE: u8 = 2;

/// A sketch of how many different values there are.
///
/// ```
/// use sabot_batch::key_hash::{KeyValue, reference_hash};
/// use sabot_ops::sketch::{HLL_SEED, HyperLogLog};
/// let mut sketch = HyperLogLog::default();
/// for n in [1, 2, 3, 2, 1] {
///     sketch.add_hash(reference_hash(HLL_SEED, &[KeyValue::Signed(n)]));
/// }
/// assert_eq!(sketch.estimate(), 3);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HyperLogLog(Registers);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Registers {
    /// Number and rank, ascending by number.
    Sparse(Vec<(u16, u8)>),
    Dense(Box<[u8; REGISTERS]>),
}

impl Default for HyperLogLog {
    fn default() -> Self {
        Self(Registers::Sparse(Vec::new()))
    }
}

impl HyperLogLog {
    /// Takes in a value by its hash.
    pub fn add_hash(&mut self, hash: u64) {
        let register = (hash >> RANK_BITS) as u16;
        // A bit below the 52 keeps the rank of zeros at 53.
        let rank = ((hash << PRECISION) | (1 << (PRECISION - 1))).leading_zeros() + 1;
        self.raise(register, rank as u8);
    }

    /// Takes in all that another sketch has seen.
    pub fn merge(&mut self, other: &HyperLogLog) {
        match &other.0 {
            Registers::Sparse(entries) => entries.iter().for_each(|(at, rank)| self.raise(*at, *rank)),
            Registers::Dense(theirs) => {
                let mut ranks = theirs.clone();
                match &self.0 {
                    Registers::Sparse(entries) => {
                        for (register, rank) in entries {
                            let old = &mut ranks[usize::from(*register)];
                            *old = (*old).max(*rank);
                        }
                    }
                    Registers::Dense(mine) => {
                        ranks.iter_mut().zip(mine.iter()).for_each(|(rank, mine)| *rank = (*rank).max(*mine));
                    }
                }
                self.0 = Registers::Dense(ranks);
            }
        }
    }

    /// About how many different values were seen: none exactly, few nearly exactly, many within 1.6 % in
    /// two of three cases.
    pub fn estimate(&self) -> i64 {
        let mut counts = [0u32; RANK_BITS as usize + 2];
        match &self.0 {
            Registers::Sparse(entries) => {
                counts[0] = (REGISTERS - entries.len()) as u32;
                entries.iter().for_each(|(_, rank)| counts[usize::from(*rank)] += 1);
            }
            Registers::Dense(ranks) => ranks.iter().for_each(|rank| counts[usize::from(*rank)] += 1),
        }
        let registers = REGISTERS as f64;
        let mut z = registers * tau(1.0 - f64::from(counts[RANK_BITS as usize + 1]) / registers);
        for count in counts[1..=RANK_BITS as usize].iter().rev() {
            z = 0.5 * (z + f64::from(*count));
        }
        z += registers * sigma(f64::from(counts[0]) / registers);
        let alpha = 0.5 / std::f64::consts::LN_2;
        (alpha * registers * registers / z).round() as i64
    }

    /// The sketch as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.0 {
            Registers::Sparse(entries) => {
                let mut bytes = Vec::with_capacity(1 + 3 * entries.len());
                bytes.push(SPARSE);
                for (register, rank) in entries {
                    bytes.extend(register.to_be_bytes());
                    bytes.push(*rank);
                }
                bytes
            }
            Registers::Dense(ranks) => [&[DENSE][..], &ranks[..]].concat(),
        }
    }

    /// The sketch that bytes stand for.
    ///
    /// # Errors
    /// [`SketchError`] for anything that [`HyperLogLog::to_bytes`] does not give.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        let error = |problem| SketchError { sketch: "a HyperLogLog", bytes: bytes.len(), problem };
        let is_rank = |rank: u8| (1..=RANK_BITS as u8 + 1).contains(&rank);
        match bytes.split_first() {
            Some((&SPARSE, rest)) => {
                if !rest.len().is_multiple_of(3) || rest.len() / 3 > SPARSE_MAX {
                    return Err(error("not up to 1365 registers of three bytes"));
                }
                let entry = |e: &[u8]| (u16::from_be_bytes([e[0], e[1]]), e[2]);
                let entries: Vec<(u16, u8)> = rest.chunks_exact(3).map(entry).collect();
                if !entries.windows(2).all(|pair| pair[0].0 < pair[1].0) {
                    return Err(error("its registers do not ascend"));
                }
                if entries
                    .iter()
                    .any(|(register, rank)| usize::from(*register) >= REGISTERS || !is_rank(*rank))
                {
                    return Err(error("a register or a rank that there is not"));
                }
                Ok(Self(Registers::Sparse(entries)))
            }
            Some((&DENSE, rest)) => {
                let ranks: [u8; REGISTERS] = rest.try_into().map_err(|_| error("not 4096 registers"))?;
                if ranks.iter().any(|rank| *rank != 0 && !is_rank(*rank)) {
                    return Err(error("a rank that there is not"));
                }
                if ranks.iter().filter(|rank| **rank != 0).count() <= SPARSE_MAX {
                    return Err(error("all registers written out where few are in use"));
                }
                Ok(Self(Registers::Dense(Box::new(ranks))))
            }
            _ => Err(error("its format is unknown")),
        }
    }

    /// Allocated bytes.
    pub fn allocated_bytes(&self) -> usize {
        match &self.0 {
            Registers::Sparse(entries) => entries.capacity() * size_of::<(u16, u8)>(),
            Registers::Dense(_) => REGISTERS,
        }
    }

    fn raise(&mut self, register: u16, rank: u8) {
        match &mut self.0 {
            Registers::Sparse(entries) => match entries.binary_search_by_key(&register, |e| e.0) {
                Ok(at) => entries[at].1 = entries[at].1.max(rank),
                Err(_) if entries.len() == SPARSE_MAX => {
                    let mut ranks = dense(entries);
                    ranks[usize::from(register)] = rank;
                    self.0 = Registers::Dense(ranks);
                }
                Err(at) => entries.insert(at, (register, rank)),
            },
            Registers::Dense(ranks) => {
                let mine = &mut ranks[usize::from(register)];
                *mine = (*mine).max(rank);
            }
        }
    }
}

/// All registers, of which these are in use.
fn dense(entries: &[(u16, u8)]) -> Box<[u8; REGISTERS]> {
    let mut ranks = Box::new([0; REGISTERS]);
    entries.iter().for_each(|(register, rank)| ranks[usize::from(*register)] = *rank);
    ranks
}

/// Ertl's σ, for registers that saw nothing.
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

/// Ertl's τ, for registers at their limit.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::seq::SliceRandom;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use sabot_batch::key_hash::{KeyValue, reference_hash};

    fn of(hashes: &[u64]) -> HyperLogLog {
        let mut sketch = HyperLogLog::default();
        hashes.iter().for_each(|hash| sketch.add_hash(*hash));
        sketch
    }

    #[test]
    fn golden_bytes_never_change() {
        assert_eq!(HyperLogLog::default().to_bytes(), [1]);
        // Register 0 with rank 53 (no bit set), register 0xfff with rank 1, register 1 with rank 4.
        let sketch = of(&[0, u64::MAX, 0x0011_0000_0000_0000]);
        assert_eq!(sketch.to_bytes(), [1, 0, 0, 53, 0, 1, 4, 0x0f, 0xff, 1]);
        let numbers: Vec<u64> = (0..3).map(|n| reference_hash(HLL_SEED, &[KeyValue::Signed(n)])).collect();
        assert_eq!(of(&numbers).to_bytes(), GOLDEN_0_1_2);
        // Every register once with rank 1: the dense form.
        let all: Vec<u64> = (0..4096u64).map(|r| (r << 52) | (1 << 51)).collect();
        assert_eq!(of(&all).to_bytes(), [vec![2], vec![1; 4096]].concat());
    }

    const GOLDEN_0_1_2: [u8; 10] = [1, 1, 125, 2, 3, 235, 1, 14, 71, 1];

    #[test]
    fn bytes_depend_on_the_values_alone() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for count in [0, 1, 10, 1364, 1365, 1366, 3000, 50_000] {
            let mut hashes: Vec<u64> = (0..count).map(|_| rng.random()).collect();
            let whole = of(&hashes).to_bytes();
            assert_eq!(HyperLogLog::from_bytes(&whole).unwrap().to_bytes(), whole);
            hashes.shuffle(&mut rng);
            let parts: Vec<HyperLogLog> = hashes.chunks(count / 3 + 1).map(of).collect();
            for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
                let mut merged = HyperLogLog::default();
                order.into_iter().filter_map(|i| parts.get(i)).for_each(|part| merged.merge(part));
                assert_eq!(merged.to_bytes(), whole, "{count} values");
            }
        }
    }

    #[test]
    fn estimates_are_close() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        for count in [0, 1, 2, 10, 100, 1000, 5_000, 20_000, 1_000_000] {
            let estimate = of(&(0..count).map(|_| rng.random()).collect::<Vec<u64>>()).estimate();
            // Three standard errors.
            let off = (estimate - count).abs() as f64;
            assert!(off <= 3.0 * 0.0163 * count as f64, "{estimate} for {count}");
        }
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let dense_but_sparse = [vec![2], vec![1], vec![0; 4095]].concat();
        for bytes in [
            &[][..],
            &[9],
            &[1, 0],
            &[1, 0, 1, 4, 0, 1, 5],
            &[1, 0x10, 0, 4],
            &[1, 0, 1, 54],
            &[1, 0, 1, 0],
            &[2, 1, 1],
            &dense_but_sparse,
        ] {
            assert!(HyperLogLog::from_bytes(bytes).is_err(), "{bytes:?}");
        }
    }
}
