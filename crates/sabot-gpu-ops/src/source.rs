//! Kernels as text, ready for a device's compiler.

use sabot_codegen::{
    Binary, Bitmap, Body, ChunkLayout, Fold, Grouping, Inst, Kind, NOWHERE, Parameters, Program, Storage,
    Sums, Unprintable, WgslFeatures, print_cuda, print_cuda_groups, print_wgsl, print_wgsl_groups,
};
use std::fmt::Write as _;

use crate::device::Dialect;

/// Threads of a workgroup. Every device has as many; two warps hide less latency.
pub const TILE: u32 = 256;

/// Words of the status of a filter-project: whether a row failed, and how many words of chunks were claimed.
pub(crate) const STATUS: usize = 2;
pub(crate) const CLAIMED: usize = 1;

/// Words in front of a table of groups: whether a row failed, whether the table is full, how many groups it has, how many
/// records were written.
pub(crate) const HEAD: usize = 64;
pub(crate) const FULL: usize = 1;
pub(crate) const GROUPS: usize = 2;
const WRITTEN: usize = 3;

/// Words of a workgroup's own memory that its table of groups may take: 12 KiB, as WGSL promises 16.
const NEAR_WORDS_MAX: usize = 3_072;

/// Slots of a workgroup's table that are looked at before a row goes to the table of the launch.
const PROBES: u32 = 4;

/// A kernel as text, and what it means.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelSource {
    /// The functions to call, one after the other.
    pub entries: &'static [&'static str],
    /// The whole text.
    pub text: String,
    /// What happens to a row: for devices that run it by hand.
    pub program: Program,
    /// The bitmaps that it writes.
    pub bitmaps: Vec<Bitmap>,
    /// How each output lies in memory.
    pub stored: Vec<Storage>,
    /// How those that are no bitmaps lie next to each other.
    pub chunk: ChunkLayout,
    /// How rows are folded, if they are.
    pub grouping: Option<Grouping>,
    /// Rows that a thread takes at once.
    pub(crate) rows_each: u32,
    /// How the table of a launch keeps sums.
    pub(crate) sums: Sums,
}

impl KernelSource {
    /// The kernel of a filter-project.
    ///
    /// # Errors
    /// [`Unprintable`] for what the dialect does not have.
    pub fn filter_project(program: Program, dialect: Dialect) -> Result<Self, Unprintable> {
        let body = match dialect {
            Dialect::Cuda => print_cuda(&program)?,
            Dialect::Wgsl(features) => print_wgsl(&program, features)?,
        };
        let rows_each = match dialect {
            Dialect::Cuda => rows_each(&program, &body.stored),
            // An array that a compiler does not unroll would lie in memory.
            Dialect::Wgsl(_) => 1,
        };
        let bitmaps = body.bitmaps.len() as u32;
        let packed = is_packed(&body.bitmaps, &body.chunk);
        let constants = [
            ("SABOT_EACH", rows_each),
            ("SABOT_BITMAPS", bitmaps),
            // An array has an element at least.
            ("SABOT_WORDS", bitmaps.max(1) * (TILE / 32)),
            ("SABOT_FIRST_BITMAP", Parameters::of(&program).bitmap(0) as u32),
            ("SABOT_CHUNKS", Parameters::CHUNKS as u32),
            ("SABOT_TILES", Parameters::TILES as u32),
            ("SABOT_CLAIMED", CLAIMED as u32),
            ("SABOT_PACKED", u32::from(packed)),
        ];
        let Body { text, bitmaps, stored, chunk } = body;
        let text = match dialect {
            Dialect::Cuda => cuda(&constants, &program, &[&text, sabot_kernels::FILTER_PROJECT]),
            Dialect::Wgsl(features) => {
                wgsl(&constants, features, &program, &[&text, sabot_shaders::FILTER_PROJECT])
            }
        };
        Ok(Self {
            entries: &["sabot_filter_project"],
            text,
            program,
            bitmaps,
            stored,
            chunk,
            grouping: None,
            rows_each,
            sums: Sums::Carried,
        })
    }

    /// The kernel of a group-by: its first entry folds rows, its second writes the groups down.
    ///
    /// # Errors
    /// [`Unprintable`] for what the dialect does not have.
    pub fn group_by(program: Program, grouping: Grouping, dialect: Dialect) -> Result<Self, Unprintable> {
        let sums = match dialect {
            Dialect::Wgsl(features) if !(features.int64 && features.atomic64) => Sums::Carried,
            _ => Sums::Wide,
        };
        let body = match dialect {
            Dialect::Cuda => print_cuda_groups(&program, &grouping, sums),
            Dialect::Wgsl(features) => print_wgsl_groups(&program, &grouping, sums, features)?,
        };
        let wide = grouping.wide_words(&program, sums);
        let words = grouping.words(&program);
        let near = near_slots(&grouping, words);
        let constants = [
            ("SABOT_HEAD", HEAD as u32),
            ("SABOT_FULL", FULL as u32),
            ("SABOT_GROUPS", GROUPS as u32),
            ("SABOT_WRITTEN", WRITTEN as u32),
            ("SABOT_SLOTS", Parameters::SLOTS as u32),
            ("SABOT_PROBES", PROBES),
            ("SABOT_NEAR", near as u32),
            ("SABOT_NEAR_WORDS", (near * (1 + words)) as u32),
            ("SABOT_GROUP_WORDS", words as u32),
            ("SABOT_TABLE_WORDS", grouping.table_words(&program, sums) as u32),
            ("SABOT_TABLE_WIDE", wide as u32),
            ("SABOT_RECORD_WORDS", grouping.record_words(&program) as u32),
        ];
        let text = match dialect {
            Dialect::Cuda => {
                cuda(&constants, &program, &[sabot_kernels::GROUPS, &body, sabot_kernels::GROUP_BY])
            }
            Dialect::Wgsl(features) => {
                let sums = if wide > 0 { sabot_shaders::GROUP_WIDE } else { "" };
                let floats = if grouping.floats() > 0 { sabot_shaders::GROUP_FLOATS } else { "" };
                wgsl(&constants, features, &program, &[sums, floats, &body, sabot_shaders::GROUP_BY])
            }
        };
        let entries = &["sabot_group_by", "sabot_groups"];
        let (bitmaps, stored, chunk) = (Vec::new(), Vec::new(), ChunkLayout::default());
        Ok(Self {
            entries,
            text,
            program,
            bitmaps,
            stored,
            chunk,
            grouping: Some(grouping),
            rows_each: 1,
            sums,
        })
    }

    /// Where in the parameters what is.
    pub fn parameters(&self) -> Parameters {
        Parameters::of(&self.program)
    }

    /// Rows that a workgroup takes at once; those of them that are kept are a chunk.
    pub fn tile_rows(&self) -> u32 {
        TILE * self.rows_each
    }

    /// Whether rows that are kept lie in chunks of their own, next to each other.
    pub fn is_packed(&self) -> bool {
        is_packed(&self.bitmaps, &self.chunk)
    }

    /// Whether groups have 64-bit words, in a buffer of their own.
    pub fn has_wide_words(&self) -> bool {
        self.cleared(1).1 > 0
    }

    /// 32-bit words that are cleared before a launch: of the status, in which a table of so many slots is, and of the wide
    /// words of its groups.
    pub(crate) fn cleared(&self, slots: usize) -> (usize, usize) {
        let Some(grouping) = &self.grouping else { return (STATUS, 0) };
        let words = 1 + grouping.table_words(&self.program, self.sums);
        (HEAD + slots * words, 2 * slots * grouping.wide_words(&self.program, self.sums))
    }
}

/// Rows that a thread reads before it computes the first: up to four, of up to 16 bytes, that it waits for at once. An H200 reads
/// 4.8 TB/s, and an answer takes 0.6 µs or so, so that each of its 132 multiprocessors has to wait for 22 KiB at once. The 1,536
/// threads that have room for their registers wait for 6 KiB if they have 4 bytes each, and for 24 KiB if they have 16. Registers
/// bound the number, and so does the text, which is repeated as often.
fn rows_each(program: &Program, stored: &[Storage]) -> u32 {
    let bits: usize = program.inputs().iter().map(|input| input.storage.bits()).sum();
    let registers =
        registers(program.inputs().iter().map(|input| input.storage)) + registers(stored.iter().copied());
    let weight = |(inst, kind): &(Inst, Kind)| match inst {
        // A loop, written out.
        Inst::Binary(Binary::Div | Binary::Rem, ..) if kind.bits() == 64 => 16,
        _ => 1,
    };
    let text: u32 = program.instructions().iter().map(weight).sum();
    // Nobody knows how long a function of the user's is.
    let long = program.float_functions().0 || !program.functions().is_empty();
    let fits = |each: u32| each * bits as u32 <= 128 && each * registers <= 24 && each * text <= 256;
    [4, 2].into_iter().find(|each| !long && fits(*each)).unwrap_or(1)
}

/// Registers of the values of a row, of which each has its own, however narrow it is. Whether one is null is not counted.
fn registers(stored: impl Iterator<Item = Storage>) -> u32 {
    stored.map(|storage| storage.bits().div_ceil(32) as u32).sum()
}

/// Rows that are dropped leave gaps, unless nothing but bitmaps is written.
fn is_packed(bitmaps: &[Bitmap], chunk: &ChunkLayout) -> bool {
    bitmaps.first() == Some(&Bitmap::Keep) && !chunk.is_empty()
}

/// Slots of a workgroup's table; one, which is not used, where it does not help: sums of floats have no place in it.
fn near_slots(grouping: &Grouping, words: usize) -> usize {
    if grouping.accumulators.iter().any(|accumulator| accumulator.fold == Fold::SumFloats) {
        return 1;
    }
    let most = (NEAR_WORDS_MAX / (1 + words)).max(1);
    1 << most.ilog2()
}

/// The constants that all skeletons are written with.
const CONSTANTS: [(&str, u32); 5] = [
    ("SABOT_TILE", TILE),
    ("SABOT_ROWS", Parameters::ROWS as u32),
    ("SABOT_LIVE", Parameters::LIVE as u32),
    ("SABOT_ZERO", Parameters::ZERO as u32),
    ("SABOT_NOWHERE", NOWHERE),
];

/// 32-bit registers for the results of a row, above which two blocks have to do for a multiprocessor: they wait in them until
/// all threads know where they go. With 24 of them, and what they are computed from, a thread takes all of its 64.
const RESULTS_MAX: u32 = 24;

fn cuda(constants: &[(&str, u32)], program: &Program, parts: &[&str]) -> String {
    let results = registers(program.outputs().iter().map(|output| output.storage));
    let blocks = [("SABOT_BLOCKS", if results > RESULTS_MAX { 2 } else { 4 })];
    let mut text = String::new();
    for (name, value) in CONSTANTS.iter().chain(&blocks).chain(constants) {
        let _ = writeln!(text, "#define {name} {value}u");
    }
    text + sabot_kernels::PRIMITIVES + "\n" + &parts.join("\n")
}

fn wgsl(constants: &[(&str, u32)], features: WgslFeatures, program: &Program, parts: &[&str]) -> String {
    let mut text = String::new();
    for (name, value) in CONSTANTS.iter().chain(constants) {
        let _ = writeln!(text, "const {name} = {value}u;");
    }
    text += sabot_shaders::SLABS;
    text += sabot_shaders::NUMBERS;
    if features.int64 {
        text += sabot_shaders::NUMBERS_64;
    }
    if features.int64 && features.float64 {
        text += sabot_shaders::FLOATS_64;
    }
    let (functions, of_angles) = program.float_functions();
    if functions {
        text += sabot_shaders::MATH_64;
    }
    if of_angles {
        text += sabot_shaders::ANGLES_64;
    }
    text + &parts.join("\n")
}
