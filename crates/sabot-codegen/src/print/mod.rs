//! Programs as text: a body for the hand-written skeletons of kernels.
//!
//! A printed [`Body`] has functions of one row, in the dialect of its device: `sabot_row` computes it, in CUDA from what
//! `sabot_fetch` has read, `sabot_bits` packs what goes into bitmaps, one bit a bitmap, and `sabot_store` writes the values that
//! have words of their own to a chunk, whose length `sabot_chunk_words` says. Everything else, the loop over rows, the bitmaps,
//! the count of errors, stands in the skeleton and is the same for all programs.
//!
//! Columns lie in one slab of 32-bit words for the input and one for the output. Where in it is told by [`Parameters`],
//! which the kernel reads, so that one kernel serves morsels of all sizes.

mod chunk;
mod cuda;
mod group;
mod warp;
mod wgsl;

pub use chunk::ChunkLayout;
pub use cuda::{print_cuda, print_cuda_groups};
pub use wgsl::{WgslFeatures, print_wgsl, print_wgsl_groups};

use crate::ir::{Inst, Kind, Output, Program, Reg, Storage};

/// Most bitmaps that a kernel writes: each is a bit of a word.
pub const BITMAPS_MAX: usize = 32;

/// No offset: there is no such column.
pub const NOWHERE: u32 = u32::MAX;

/// Where in a kernel's list of parameters what is.
///
/// In front are the number of rows, the offset of the bitmap of live rows, a zero that compilers do not know of, how many
/// groups a table has room for, and where chunks of values and the table of them begin in the output. Then for each input the offsets of
/// its values and of its validity; bitmaps of the output stand at the end, in the order of their bits. Offsets count 32-bit words; [`NOWHERE`] stands for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    inputs: usize,
}

impl Parameters {
    /// How many rows there are.
    pub const ROWS: usize = 0;
    /// The offset of the bitmap of rows that count; all do if it is [`NOWHERE`].
    pub const LIVE: usize = 1;
    /// Always zero.
    pub const ZERO: usize = 2;
    /// The slots of a table of groups, a power of two; it is full when half of them are taken.
    pub const SLOTS: usize = 3;
    /// The offset of the chunks.
    pub const CHUNKS: usize = 4;
    /// The offset of the table in which stands for each tile how many words behind the first chunk its own begins.
    pub const TILES: usize = 5;
    /// Where the offsets of columns begin.
    const FIXED: usize = 6;

    /// The parameters of a program.
    pub fn of(program: &Program) -> Self {
        Self { inputs: program.inputs().len() }
    }

    /// The offset of an input's values.
    pub fn input(self, number: usize) -> usize {
        Self::FIXED + 2 * number
    }

    /// The offset of an input's validity.
    pub fn input_valid(self, number: usize) -> usize {
        Self::FIXED + 1 + 2 * number
    }

    /// The offset of a bitmap.
    pub fn bitmap(self, number: usize) -> usize {
        Self::FIXED + 2 * self.inputs + number
    }

    /// How many parameters there are, of a kernel that writes so many bitmaps.
    pub fn count(self, bitmaps: usize) -> usize {
        self.bitmap(bitmaps)
    }
}

/// What a bitmap of the output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bitmap {
    /// Which rows are kept.
    Keep,
    /// The values of an output that is a bool.
    Values(usize),
    /// Which values of an output are not null.
    Valid(usize),
}

/// The printed functions of a program, and what they write.
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    /// The text.
    pub text: String,
    /// The bitmaps, in the order of their bits.
    pub bitmaps: Vec<Bitmap>,
    /// How each output lies in memory, which may be wider than its type.
    pub stored: Vec<Storage>,
    /// How those lie next to each other that are no bitmaps.
    pub chunk: ChunkLayout,
}

/// A program that a dialect cannot express.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unprintable(pub String);

/// The bitmaps that a program writes.
fn bitmaps(program: &Program) -> Result<Vec<Bitmap>, Unprintable> {
    let mut bitmaps: Vec<Bitmap> = program.keep().map(|_| Bitmap::Keep).into_iter().collect();
    for (number, output) in program.outputs().iter().enumerate() {
        if output.storage == Storage::Bit {
            bitmaps.push(Bitmap::Values(number));
        }
        if output.valid.is_some() {
            bitmaps.push(Bitmap::Valid(number));
        }
    }
    if bitmaps.len() > BITMAPS_MAX {
        return Err(Unprintable(format!(
            "{} bitmaps of results; a kernel writes {BITMAPS_MAX}",
            bitmaps.len()
        )));
    }
    Ok(bitmaps)
}

/// The value whose bits a bitmap is made of.
fn bit_of(program: &Program, bitmap: Bitmap) -> Option<Reg> {
    let output = |number: usize| -> &Output { &program.outputs()[number] };
    match bitmap {
        Bitmap::Keep => program.keep(),
        Bitmap::Values(number) => Some(output(number).value),
        Bitmap::Valid(number) => output(number).valid,
    }
}

/// The call of a function of the user's: the same in both languages.
fn call(function: u32, arguments: [Option<Reg>; 3]) -> String {
    let arguments: Vec<String> = arguments.iter().flatten().map(ToString::to_string).collect();
    format!("sabot_user_{function}({})", arguments.join(", "))
}

/// The values that leave `sabot_row`: each once, in the order of their instructions.
fn results(program: &Program) -> Vec<(Reg, Kind)> {
    let outputs = program.outputs().iter().flat_map(|o| std::iter::once(o.value).chain(o.valid));
    let mut regs: Vec<Reg> = program.keep().into_iter().chain(program.failed()).chain(outputs).collect();
    regs.sort_unstable();
    regs.dedup();
    regs.into_iter().map(|reg| (reg, program.kind(reg))).collect()
}

/// The first instruction that `refuses` says no to, in its words.
fn check(program: &Program, refuses: impl Fn(Inst, Kind) -> Option<String>) -> Result<(), Unprintable> {
    let reason = program.instructions().iter().find_map(|(inst, kind)| refuses(*inst, *kind));
    reason.map_or(Ok(()), |reason| Err(Unprintable(reason)))
}
