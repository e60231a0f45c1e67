//! Columns of the host as slabs of words.
//!
//! Every column of the input, and every bitmap, begins at a multiple of [`ALIGNMENT`], so that devices may read it in whole lines. A slice is copied from
//! its first row on, bitmaps shifted to their first bit.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::BooleanBuffer;
use sabot_batch::Selection;
use sabot_codegen::{NOWHERE, Parameters, Storage};

use crate::source::KernelSource;

/// Words between which columns begin: 256 bytes.
const ALIGNMENT: usize = 64;

/// Where a kernel finds its input and leaves its output, for so many rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The parameters of the kernel.
    pub(crate) parameters: Vec<u32>,
    /// Words of the input's slab.
    pub(crate) input_words: usize,
    /// Words of the output's slab.
    pub(crate) output_words: usize,
    /// Those of them in front of the chunks: bitmaps, and where which chunk begins.
    pub(crate) head_words: usize,
}

/// A slab that is being planned.
#[derive(Default)]
struct Plan {
    words: usize,
}

impl Plan {
    /// Room for values; gives its offset.
    fn take(&mut self, storage: Storage, rows: usize) -> u32 {
        let at = self.words;
        self.words += (storage.bytes(rows) / 4).next_multiple_of(ALIGNMENT);
        at as u32
    }
}

impl Layout {
    /// Slots of a table of groups.
    pub(crate) fn slots(&self) -> usize {
        self.parameters[Parameters::SLOTS] as usize
    }

    /// The layout for these columns, of which those with nulls need a bitmap. All offsets fit 32 bits as long as the
    /// slabs do not exceed 16 GiB.
    pub(crate) fn new(source: &KernelSource, columns: &[ArrayRef], rows: usize, live: bool) -> Self {
        let at: Parameters = source.parameters();
        let mut parameters = vec![NOWHERE; at.count(source.bitmaps.len())];
        let mut input = Plan::default();
        parameters[Parameters::ROWS] = rows as u32;
        parameters[Parameters::ZERO] = 0;
        if live {
            parameters[Parameters::LIVE] = input.take(Storage::Bit, rows);
        }
        for (number, described) in source.program.inputs().iter().enumerate() {
            parameters[at.input(number)] = input.take(described.storage, rows);
            if columns[described.column].null_count() > 0 {
                parameters[at.input_valid(number)] = input.take(Storage::Bit, rows);
            }
        }
        let mut output = Plan::default();
        for number in 0..source.bitmaps.len() {
            parameters[at.bitmap(number)] = output.take(Storage::Bit, rows);
        }
        let tile = source.tile_rows() as usize;
        let tiles = rows.div_ceil(tile);
        let chunks = if source.is_packed() {
            parameters[Parameters::TILES] = output.take(Storage::U32, tiles);
            rows / tile * source.chunk.words(tile) + source.chunk.words(rows % tile)
        } else {
            source.chunk.words(tiles * tile)
        };
        let head_words = output.words;
        parameters[Parameters::CHUNKS] = head_words as u32;
        // No device binds a buffer of nothing.
        let some = |words: usize| words.max(ALIGNMENT);
        let (input_words, output_words) = (some(input.words), some(head_words + chunks));
        Self { parameters, input_words, output_words, head_words }
    }

    /// Writes the input's slab.
    pub(crate) fn pack(
        &self,
        source: &KernelSource,
        columns: &[ArrayRef],
        live: Option<&Selection>,
        slab: &mut [u32],
    ) {
        let at = source.parameters();
        if let Some(live) = live {
            let words: Vec<u32> = live.words().iter().flat_map(|w| [*w as u32, (*w >> 32) as u32]).collect();
            let rows = self.parameters[Parameters::ROWS] as usize;
            copy(slab, self.parameters[Parameters::LIVE], bytemuck::cast_slice(&words), rows.div_ceil(8));
        }
        for (number, described) in source.program.inputs().iter().enumerate() {
            let column = &columns[described.column];
            let values = self.parameters[at.input(number)];
            if described.storage == Storage::Bit {
                copy_bits(slab, values, column.as_boolean().values());
            } else {
                let data = column.to_data();
                let width = described.storage.bits() / 8;
                let bytes = data.buffers().first().map_or(&[][..], |buffer| {
                    &buffer.as_slice()[data.offset() * width..(data.offset() + column.len()) * width]
                });
                copy(slab, values, bytes, bytes.len());
            }
            if let Some(nulls) = column.nulls().filter(|nulls| nulls.null_count() > 0) {
                copy_bits(slab, self.parameters[at.input_valid(number)], nulls.inner());
            }
        }
    }
}

fn copy(slab: &mut [u32], at: u32, from: &[u8], bytes: usize) {
    let to: &mut [u8] = bytemuck::cast_slice_mut(&mut slab[at as usize..]);
    to[..bytes].copy_from_slice(&from[..bytes]);
}

fn copy_bits(slab: &mut [u32], at: u32, bits: &BooleanBuffer) {
    let bytes = bits.sliced();
    copy(slab, at, bytes.as_slice(), bits.len().div_ceil(8));
}

/// The bits of a value as a register holds them, from a slab in which its column begins at a word.
pub(crate) fn load(bytes: &[u8], at: usize, storage: Storage, row: usize) -> u64 {
    if storage == Storage::Bit {
        return u64::from(bytes[at * 4 + row / 8] >> (row % 8) & 1);
    }
    let width = storage.bits() / 8;
    let mut word = [0u8; 8];
    word[..width].copy_from_slice(&bytes[at * 4 + row * width..][..width]);
    let bits = u64::from_le_bytes(word);
    match storage {
        Storage::I8 => u64::from(i32::from(bits as u8 as i8) as u32),
        Storage::I16 => u64::from(i32::from(bits as u16 as i16) as u32),
        _ => bits,
    }
}
