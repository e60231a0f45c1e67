//! The fold of a warp of which all rows that are taken are of one group, in CUDA: without a key, where rows come in order of theirs,
//! and where hardly any row is of another group. Threads that add to one word wait for each other, so values are counted and added
//! up in registers first, in a tree, and one thread adds the sum. Least and greatest values are not: most rows only read them.
//!
//! `sabot_accumulate_warp_block` and `sabot_accumulate_warp_table` are what `sabot_accumulate_block` and
//! `sabot_accumulate_table` are for a row. All threads of the warp call them, with the group of all of its rows that are taken.

use std::fmt::Write as _;

use super::cuda::Cuda;
use super::group::{Table, added};
use crate::group::{Fold, Grouping, Place, Sums, words_of_kind};
use crate::ir::{Kind, Output, Program};

/// Both functions.
pub(super) fn functions(program: &Program, grouping: &Grouping, sums: Sums) -> String {
    let mut text = String::new();
    for table in Table::BOTH {
        let _ = write!(
            text,
            "SABOT_DEVICE void sabot_accumulate_warp{}(const sabot_u32* input, const sabot_u32* parameters, sabot_u32* at, \
             sabot_u64* wide, sabot_u32 first, const SabotRow& r, sabot_u32 taken) {{\n  \
             const sabot_u32 lane = threadIdx.x & 31u;\n  \
             const bool is_taken = (taken >> lane & 1u) != 0;\n  \
             if (lane == 0) {{\n    \
             sabot_first(at, ~(first + __ffs(taken) - 1));\n  \
             }}\n",
            table.ending()
        );
        for number in 0..grouping.accumulators.len() {
            accumulate(&mut text, program, grouping, sums, (table, number));
        }
        text.push_str("}\n\n");
    }
    text
}

fn accumulate(
    text: &mut String,
    program: &Program,
    grouping: &Grouping,
    sums: Sums,
    (table, number): (Table, usize),
) {
    let accumulator = grouping.accumulators[number];
    let output: Option<Output> = accumulator.output.map(|output| program.outputs()[output]);
    let place = match table {
        Table::Block => Place::Words(grouping.offset(program, number)),
        Table::Launch => grouping.place(program, number, sums),
    };
    let counts = match output.and_then(|output| output.valid) {
        Some(valid) => format!("is_taken && r.{valid}"),
        None => "is_taken".to_owned(),
    };
    let by_one =
        |words: Vec<String>| format!("    if (lane == 0) {{\n{}    }}\n", added::<Cuda>(table, place, words));
    let summed = |name: &str, value: &str| {
        format!("    const sabot_u64 {name} = sabot_sum_of_warp<sabot_u64>(counts ? {value} : 0);\n")
    };
    let low = |of: &str| format!("static_cast<sabot_u32>({of})");
    let high = |of: &str| format!("static_cast<sabot_u32>({of} >> 32u)");
    let statement = match (accumulator.fold, output, place) {
        (Fold::SumFloats, Some(output), Place::Wide(at)) => format!(
            "    const double sum = sabot_sum_of_warp<double>(counts ? r.{} : 0.0);\n    if (lane == 0) {{\n      \
             sabot_add_float(wide + {at}u, sum);\n    }}\n",
            output.value
        ),
        // Where floats are summed, blocks have no tables.
        (Fold::SumFloats, ..) => return,
        (Fold::Sum, Some(output), _) => {
            let (kind, value) = (program.kind(output.value), format!("r.{}", output.value));
            // Continued with its sign, where it has one.
            let whole = match kind.is_signed() {
                true => format!("static_cast<sabot_u64>(static_cast<sabot_i64>({value}))"),
                false => format!("static_cast<sabot_u64>({value})"),
            };
            if words_of_kind(kind) == 1 {
                summed("sum", &whole) + &by_one(vec![low("sum"), high("sum")])
            } else {
                let above = match kind == Kind::I64 {
                    true => format!("static_cast<sabot_u64>({value} >> 32u)"),
                    false => format!("{whole} >> 32u"),
                };
                summed("below", &low(&whole))
                    + &summed("above", &above)
                    + "    const sabot_u64 carried = above + (below >> 32u);\n"
                    + &by_one(vec![low("below"), low("carried"), high("carried")])
            }
        }
        (Fold::Best { .. }, Some(output), Place::Words(at)) => format!(
            "    if (counts) {{\n      sabot_best_{number}(input, parameters, at + {at}u, r.{}, first + lane);\n    }}\n",
            output.value
        ),
        _ => {
            "    const sabot_u32 count = __popc(__ballot_sync(0xffffffffu, counts));\n".to_owned()
                + &by_one(vec!["count".to_owned()])
        }
    };
    let _ = write!(text, "  {{\n    const bool counts = {counts};\n{statement}  }}\n");
}
