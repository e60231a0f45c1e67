//! The key hash, version 1, of keys that lie in words: what `docs/key-hash.md` says, in registers of 32 bits.

use arrow::datatypes::{DataType, TimeUnit};
use sabot_common::KeyGroups;

use super::{Lowering, Value};
use crate::ir::{Binary, Kind, Reg, Unary};

const S: [u32; 2] = [0x243f_6a88, 0x85a3_08d3];
const H: [u32; 2] = [0x9e37_79b1, 0x85eb_ca77];
const M: [u32; 2] = [0x7feb_352d, 0x846c_a68b];
const C: [u32; 4] = [0xcc9e_2d51, 0x1b87_3593, 0x239b_961b, 0xab0e_9789];

/// The tags of families of values.
const NULL: u32 = 1;
const BOOL: u32 = 2;
const SIGNED: u32 = 3;
const UNSIGNED: u32 = 4;
const FLOAT: u32 = 5;
const DATE: u32 = 9;
const TIMESTAMP: u32 = 10;
const TIME: u32 = 13;
const DURATION: u32 = 14;

/// A value as the hash takes it in: its header and a pair of words.
struct Encoded {
    header: Reg,
    words: [Reg; 2],
}

impl Lowering {
    /// The task that owns each row's key; `None` where a key has a type that no register holds.
    pub(super) fn task_of_key(
        &mut self,
        seed: u64,
        keys: &[(Value, DataType)],
        (groups, tasks): (KeyGroups, u32),
    ) -> Option<Reg> {
        let seed = [seed as u32 ^ S[0], (seed >> 32) as u32 ^ S[1]].map(|word| self.word(word));
        let mut state = self.finish(seed);
        for (value, data_type) in keys {
            let encoded = self.encoded(*value, data_type)?;
            state = self.absorb(state, &encoded);
        }
        let [_, high] = self.finish(state);
        Some(self.task_of_hash(high, groups, tasks))
    }

    /// The task that owns a hash, of which the upper word is given.
    pub(super) fn task_of_hash(&mut self, high: Reg, groups: KeyGroups, tasks: u32) -> Reg {
        let count = self.word(u32::from(groups.count()));
        let group = self.builder.binary(Binary::MulHigh, high, count);
        // Both are at most 2¹⁵.
        let tasks = self.word(tasks);
        let product = self.builder.binary(Binary::Mul, group, tasks);
        self.builder.binary(Binary::Div, product, count)
    }

    fn word(&mut self, word: u32) -> Reg {
        self.builder.constant(Kind::U32, u64::from(word))
    }

    fn xor_shifted(&mut self, x: Reg, by: u32) -> Reg {
        let by = self.word(by);
        let shifted = self.builder.binary(Binary::Shr, x, by);
        self.builder.binary(Binary::Xor, x, shifted)
    }

    fn word_times(&mut self, x: Reg, by: u32) -> Reg {
        let by = self.word(by);
        self.builder.binary(Binary::Mul, x, by)
    }

    fn rotated(&mut self, x: Reg, by: u32) -> Reg {
        let (left, right) = (self.word(by), self.word(32 - by));
        let (left, right) =
            (self.builder.binary(Binary::Shl, x, left), self.builder.binary(Binary::Shr, x, right));
        self.builder.or(left, right)
    }

    fn mixed(&mut self, x: Reg) -> Reg {
        let x = self.xor_shifted(x, 16);
        let x = self.word_times(x, M[0]);
        let x = self.xor_shifted(x, 15);
        let x = self.word_times(x, M[1]);
        self.xor_shifted(x, 16)
    }

    fn finish(&mut self, [a, b]: [Reg; 2]) -> [Reg; 2] {
        let sum = self.builder.binary(Binary::Add, a, b);
        let a = self.mixed(sum);
        let sum = self.builder.binary(Binary::Add, b, a);
        let b = self.mixed(sum);
        [self.builder.binary(Binary::Add, a, b), b]
    }

    fn absorb(&mut self, [a, b]: [Reg; 2], value: &Encoded) -> [Reg; 2] {
        let (more, turned) = (self.word_times(value.header, H[0]), self.word_times(value.header, H[1]));
        let a = self.builder.binary(Binary::Add, a, more);
        let b = self.builder.binary(Binary::Xor, b, turned);
        let k = self.scrambled(value.words[0], (C[0], 15, C[1]));
        let a = self.stepped(a, k, (13, b));
        let k = self.scrambled(value.words[1], (C[2], 16, C[3]));
        let b = self.stepped(b, k, (17, a));
        [a, b]
    }

    fn scrambled(&mut self, word: Reg, (first, by, second): (u32, u32, u32)) -> Reg {
        let product = self.word_times(word, first);
        let turned = self.rotated(product, by);
        self.word_times(turned, second)
    }

    fn stepped(&mut self, state: Reg, k: Reg, (by, more): (u32, Reg)) -> Reg {
        let both = self.builder.binary(Binary::Xor, state, k);
        let turned = self.rotated(both, by);
        self.builder.binary(Binary::Add, turned, more)
    }

    /// A value of a type, in the form of its family; null in its own.
    fn encoded(&mut self, value: Value, data_type: &DataType) -> Option<Encoded> {
        use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
        let kind = self.builder.kind(value.reg);
        let zero = self.word(0);
        let encoded = match data_type {
            DataType::Boolean => {
                let bit = self.builder.convert(Kind::U32, value.reg);
                Encoded { header: self.word(BOOL), words: [bit, zero] }
            }
            DataType::Float32 | DataType::Float64 => {
                let double = self.builder.convert(Kind::F64, value.reg);
                let double = self.canonical(Value { reg: double, valid: None }).reg;
                let bits = self.builder.bitcast(Kind::U64, double);
                Encoded { header: self.word(FLOAT), words: self.halves(bits) }
            }
            DataType::UInt64 => {
                let (small, large) = (self.word(SIGNED), self.word(UNSIGNED));
                let words = self.halves(value.reg);
                let sign = self.builder.bitcast(Kind::I32, words[1]);
                let none = self.builder.number(Kind::I32, 0);
                let is_large = self.builder.binary(Binary::Lt, sign, none);
                Encoded { header: self.builder.select(is_large, large, small), words }
            }
            DataType::Date32 => self.counted(DATE, value.reg),
            DataType::Timestamp(Microsecond, _) => self.counted(TIMESTAMP, value.reg),
            DataType::Duration(Microsecond) => self.counted(DURATION, value.reg),
            DataType::Timestamp(Nanosecond, _) => self.nanoseconds(TIMESTAMP, value.reg),
            DataType::Duration(Nanosecond) => self.nanoseconds(DURATION, value.reg),
            DataType::Time64(Microsecond) => self.counted(TIME, value.reg),
            DataType::Time64(Nanosecond) => self.nanoseconds(TIME, value.reg),
            DataType::Time32(unit @ (Second | Millisecond)) => {
                // A time of day has few of either.
                let wide = self.builder.convert(Kind::I64, value.reg);
                let by = self.builder.number(Kind::I64, if *unit == Second { 1_000_000 } else { 1_000 });
                let micros = self.builder.binary(Binary::Mul, wide, by);
                self.counted(TIME, micros)
            }
            plain if sabot_expr::types::is_integer(plain) && kind != Kind::U64 => {
                self.counted(SIGNED, value.reg)
            }
            _ => return None,
        };
        let Some(valid) = value.valid else { return Some(encoded) };
        let null = self.word(NULL);
        let header = self.builder.select(valid, encoded.header, null);
        let words = encoded.words.map(|word| self.builder.select(valid, word, zero));
        Some(Encoded { header, words })
    }

    /// A whole number as 64 bits with a sign.
    fn counted(&mut self, tag: u32, value: Reg) -> Encoded {
        let wide = self.builder.convert(Kind::I64, value);
        let bits = self.builder.bitcast(Kind::U64, wide);
        Encoded { header: self.word(tag), words: self.halves(bits) }
    }

    /// Nanoseconds as microseconds, with the remainder beside the tag.
    fn nanoseconds(&mut self, tag: u32, value: Reg) -> Encoded {
        let thousand = self.builder.number(Kind::I64, 1_000);
        let rest = self.floor_rest(value, thousand);
        let micros = self.floor_divided(value, thousand);
        let rest = self.builder.convert(Kind::U32, rest);
        let encoded = self.counted(tag, micros);
        let aux = self.word_times(rest, 256);
        Encoded { header: self.builder.binary(Binary::Add, encoded.header, aux), ..encoded }
    }

    /// The low and the high word of 64 bits.
    pub(super) fn halves(&mut self, bits: Reg) -> [Reg; 2] {
        let by = self.builder.number(Kind::U64, 32);
        let high = self.builder.binary(Binary::Shr, bits, by);
        [bits, high].map(|half| self.builder.convert(Kind::U32, half))
    }

    /// A key whose bits are equal where it is equal as a key: one zero, one NaN, zero where it is null.
    pub(super) fn canonical(&mut self, value: Value) -> Value {
        let kind = self.builder.kind(value.reg);
        let builder = &mut self.builder;
        let mut reg = value.reg;
        let zero = builder.number(kind, 0);
        if kind.is_float() {
            let nan =
                builder.constant(kind, if kind == Kind::F32 { 0x7fc0_0000 } else { 0x7ff8_0000_0000_0000 });
            let is_nan = builder.unary(Unary::IsNan, reg);
            let is_zero = builder.binary(Binary::Eq, reg, zero);
            reg = builder.select(is_nan, nan, reg);
            reg = builder.select(is_zero, zero, reg);
        }
        if let Some(valid) = value.valid {
            reg = builder.select(valid, reg, zero);
        }
        Value { reg, ..value }
    }
}
