//! What skeletons do, in Rust: kernels of the device that is none.

use sabot_codegen::{
    Bitmap, Evaluated, Fold, Grouping, Kind, NOWHERE, Parameters, Program, Recorded, evaluate_with,
};
use std::collections::HashMap;

use crate::slab::load;
use crate::source::{CLAIMED, FULL, GROUPS, KernelSource};

/// Runs an entry of a kernel.
pub(crate) fn run(
    source: &KernelSource,
    entry: usize,
    input: &[u32],
    output: &mut [u32],
    parameters: &[u32],
    status: &mut [u32],
) {
    let rows = Rows { source, input, parameters };
    match &source.grouping {
        None => rows.filter_project(output, status),
        // Everything is done by the last entry.
        Some(grouping) if entry + 1 == source.entries.len() => rows.group_by(grouping, output, status),
        Some(_) => {}
    }
}

/// The rows of a launch.
struct Rows<'a> {
    source: &'a KernelSource,
    input: &'a [u32],
    parameters: &'a [u32],
}

impl Rows<'_> {
    fn program(&self) -> &Program {
        &self.source.program
    }

    fn count(&self) -> usize {
        self.parameters[Parameters::ROWS] as usize
    }

    fn bit(&self, offset: u32, row: usize) -> bool {
        offset == NOWHERE || self.input[offset as usize + row / 32] >> (row % 32) & 1 == 1
    }

    /// The rows that count, and what the program makes of them.
    fn live(&self) -> impl Iterator<Item = (usize, Evaluated)> + '_ {
        let live = self.parameters[Parameters::LIVE];
        (0..self.count()).filter(move |row| self.bit(live, *row)).map(|row| (row, self.evaluate(row)))
    }

    fn evaluate(&self, row: usize) -> Evaluated {
        let (program, at) = (self.program(), self.source.parameters());
        let bytes: &[u8] = bytemuck::cast_slice(self.input);
        let value = |number: usize| {
            load(bytes, self.parameters[at.input(number)] as usize, program.inputs()[number].storage, row)
        };
        let valid = |number: usize| self.bit(self.parameters[at.input_valid(number)], row);
        evaluate_with(program, value, valid)
    }

    fn filter_project(&self, output: &mut [u32], status: &mut [u32]) {
        let at = self.source.parameters();
        for number in 0..self.source.bitmaps.len() {
            let first = self.parameters[at.bitmap(number)] as usize;
            output[first..first + self.count().div_ceil(32)].fill(0);
        }
        let tile = self.source.tile_rows() as usize;
        let mut kept: Vec<Vec<Evaluated>> = vec![Vec::new(); self.count().div_ceil(tile)];
        let first = self.parameters[Parameters::CHUNKS] as usize;
        let whole = kept.len() * tile;
        for (row, result) in self.live() {
            status[0] |= u32::from(result.failed);
            for (number, bitmap) in self.source.bitmaps.iter().enumerate() {
                let set = match *bitmap {
                    Bitmap::Keep => result.keep,
                    Bitmap::Values(output) => result.outputs[output].is_some_and(|bits| bits != 0),
                    Bitmap::Valid(output) => result.outputs[output].is_some(),
                };
                let word = self.parameters[at.bitmap(number)] as usize + row / 32;
                output[word] |= u32::from(set) << (row % 32);
            }
            if !self.source.is_packed() {
                self.store(output, first, (whole, row), &result);
            } else if result.keep {
                kept[row / tile].push(result);
            }
        }
        if self.source.is_packed() {
            // In another order than that of tiles.
            for (tile, kept) in kept.iter().enumerate().rev() {
                let at = status[CLAIMED] as usize;
                output[self.parameters[Parameters::TILES] as usize + tile] = at as u32;
                status[CLAIMED] += self.source.chunk.words(kept.len()) as u32;
                for (row, result) in kept.iter().enumerate() {
                    self.store(output, first + at, (kept.len(), row), result);
                }
            }
        }
    }

    /// Writes a row of a chunk of so many.
    fn store(&self, output: &mut [u32], at: usize, (count, row): (usize, usize), result: &Evaluated) {
        for (number, storage) in self.source.stored.iter().enumerate() {
            let Some(offset) = self.source.chunk.offset(number, count) else { continue };
            let width = storage.bits() / 8;
            let at = (at + offset) * 4 + row * width;
            let value = result.outputs[number].unwrap_or(0);
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(output);
            bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
        }
    }

    fn group_by(&self, grouping: &Grouping, output: &mut [u32], status: &mut [u32]) {
        let program = self.program();
        let mut numbers: HashMap<Vec<Option<u64>>, usize> = HashMap::new();
        let mut groups: Vec<Vec<(usize, Evaluated)>> = Vec::new();
        for (row, result) in self.live() {
            status[0] |= u32::from(result.failed);
            if result.failed || !result.keep {
                continue;
            }
            let key = grouping.keys.iter().map(|key| result.outputs[*key]).collect();
            let number = *numbers.entry(key).or_insert(groups.len());
            if number == groups.len() {
                groups.push(Vec::new());
            }
            groups[number].push((row, result));
        }
        let room = self.parameters[Parameters::SLOTS] as usize / 2;
        status[FULL] = u32::from(groups.len() > room);
        groups.truncate(room);
        status[GROUPS] = groups.len() as u32;
        let size = grouping.record_words(program);
        // In another order than that of first rows.
        for (group, record) in groups.iter().rev().zip(output.chunks_mut(size)) {
            record.fill(0);
            record[0] = !(group[0].0 as u32);
            for number in 0..grouping.accumulators.len() {
                self.accumulate(grouping, number, group, record);
            }
            for (number, recorded) in grouping.recorded.iter().enumerate() {
                let at = grouping.recorded_at(program, number);
                let Some(of) = grouping.recorded_output(*recorded) else { continue };
                let (described, row) = (
                    program.outputs()[of],
                    match *recorded {
                        Recorded::Key(_) => Some(group[0].0),
                        Recorded::Best(of) => (record[grouping.offset(program, of)] as usize).checked_sub(1),
                    },
                );
                let result = row.map(|row| self.evaluate(row).outputs[of]);
                let Some(value) = result else { continue };
                let flag = matches!(recorded, Recorded::Key(_)) && described.valid.is_some();
                if flag {
                    record[at] = u32::from(value.is_some());
                }
                let words = program.kind(described.value).bits().div_ceil(32) as usize;
                write(&mut record[at + usize::from(flag)..][..words], i128::from(value.unwrap_or(0)));
            }
        }
    }

    fn accumulate(
        &self,
        grouping: &Grouping,
        number: usize,
        group: &[(usize, Evaluated)],
        record: &mut [u32],
    ) {
        let program = self.program();
        let accumulator = grouping.accumulators[number];
        let at = grouping.offset(program, number);
        let Some(output) = accumulator.output else {
            record[at] = group.len() as u32;
            return;
        };
        let kind = program.kind(program.outputs()[output].value);
        let values = group.iter().filter_map(|(row, result)| Some((*row, result.outputs[output]?)));
        match accumulator.fold {
            Fold::Count => record[at] = values.count() as u32,
            Fold::Sum => {
                let sum = values.map(|(_, bits)| integer(kind, bits)).sum();
                write(&mut record[at..at + grouping.words_of(program, number)], sum);
            }
            Fold::SumFloats => {
                let sum: f64 =
                    values.map(|(_, bits)| f64::from_bits(bits)).fold(0.0, |sum, value| sum + value);
                let at = grouping.words(program) + 2 * grouping.float(number);
                write(&mut record[at..at + 2], i128::from(sum.to_bits()));
            }
            Fold::Best { greatest } => {
                let mut best: Option<(usize, u64)> = None;
                for (row, bits) in values {
                    let before = |a: u64, b: u64| if greatest { less(kind, b, a) } else { less(kind, a, b) };
                    if best.is_none_or(|(_, held)| before(bits, held)) {
                        best = Some((row, bits));
                    }
                }
                record[at] = best.map_or(0, |(row, _)| row as u32 + 1);
            }
        }
    }
}

/// Words of an integer in two's complement, low word first.
fn write(words: &mut [u32], value: i128) {
    for (number, word) in words.iter_mut().enumerate() {
        *word = (value >> (32 * number)) as u32;
    }
}

fn integer(kind: Kind, bits: u64) -> i128 {
    match kind {
        Kind::I32 => i128::from(bits as u32 as i32),
        Kind::I64 => i128::from(bits as i64),
        _ => i128::from(bits),
    }
}

/// Whether one value is before another; NaN is the greatest.
fn less(kind: Kind, a: u64, b: u64) -> bool {
    let floats = |a: f64, b: f64| a < b || (!a.is_nan() && b.is_nan());
    match kind {
        Kind::F32 => floats(f32::from_bits(a as u32).into(), f32::from_bits(b as u32).into()),
        Kind::F64 => floats(f64::from_bits(a), f64::from_bits(b)),
        _ => integer(kind, a) < integer(kind, b),
    }
}
