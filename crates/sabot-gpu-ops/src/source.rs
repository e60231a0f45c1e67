//! Kernels as text, ready for a device's compiler.

use sabot_codegen::{
    Bitmap, Body, NOWHERE, Parameters, Program, Storage, Unprintable, WgslFeatures, print_cuda, print_wgsl,
};
use std::fmt::Write as _;

use crate::device::Dialect;

/// Rows that a workgroup takes at once, and its threads. Every device has as many; two warps hide less latency.
pub const TILE: u32 = 256;

/// A kernel as text, and what it means.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelSource {
    /// The function to call.
    pub entry: &'static str,
    /// The whole text.
    pub text: String,
    /// What happens to a row: for devices that run it by hand.
    pub program: Program,
    /// The bitmaps that it writes.
    pub bitmaps: Vec<Bitmap>,
    /// How each output lies in memory.
    pub stored: Vec<Storage>,
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
        let text = match dialect {
            Dialect::Cuda => cuda(&program, &body, sabot_kernels::FILTER_PROJECT),
            Dialect::Wgsl(features) => wgsl(&program, &body, features, sabot_shaders::FILTER_PROJECT),
        };
        let Body { bitmaps, stored, .. } = body;
        Ok(Self { entry: "sabot_filter_project", text, program, bitmaps, stored })
    }

    /// Where in the parameters what is.
    pub fn parameters(&self) -> Parameters {
        Parameters::of(&self.program)
    }
}

/// The constants that skeletons are written with.
fn constants(program: &Program, bitmaps: usize) -> Vec<(&'static str, u32)> {
    let parameters = Parameters::of(program);
    vec![
        ("SABOT_TILE", TILE),
        ("SABOT_ROWS", Parameters::ROWS as u32),
        ("SABOT_LIVE", Parameters::LIVE as u32),
        ("SABOT_ZERO", Parameters::ZERO as u32),
        ("SABOT_NOWHERE", NOWHERE),
        ("SABOT_BITMAPS", bitmaps as u32),
        // An array has an element at least.
        ("SABOT_WORDS", bitmaps.max(1) as u32 * (TILE / 32)),
        ("SABOT_FIRST_BITMAP", parameters.bitmap(0) as u32),
    ]
}

fn cuda(program: &Program, body: &Body, skeleton: &str) -> String {
    let mut text = String::new();
    for (name, value) in constants(program, body.bitmaps.len()) {
        let _ = writeln!(text, "#define {name} {value}u");
    }
    text + sabot_kernels::PRIMITIVES + "\n" + &body.text + "\n" + skeleton
}

fn wgsl(program: &Program, body: &Body, features: WgslFeatures, skeleton: &str) -> String {
    let mut text = String::new();
    for (name, value) in constants(program, body.bitmaps.len()) {
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
    text + &body.text + "\n" + skeleton
}
