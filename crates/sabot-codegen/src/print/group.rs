//! The functions of a grouping, in both languages: they differ in how a function is declared and how the words of a value are
//! taken, and in nothing else.
//!
//! A skeleton finds the group of a row and calls these. `sabot_keys` computes the key of a row once more, `sabot_hash` and
//! `sabot_same` look at its words, `sabot_accumulate` folds a row into the words of its group, once for the table of a block
//! and once for that of the launch, `sabot_merge` gives the words of a group in the former to the one in the latter,
//! `sabot_record` writes a group down at the end: records are alike, however the table keeps its sums.

use std::fmt::Write as _;

use crate::group::{Fold, Grouping, Place, Recorded, Sums, words_of_kind};
use crate::ir::{Kind, Output, Program, Reg};
use crate::sweep::operands;

/// What a language calls things.
pub(super) trait Language {
    /// The instructions that are marked, a line each.
    fn instructions(text: &mut String, program: &Program, wanted: &[bool]);
    /// The head of a function of a row, in which columns can be read; `at` names memory that it changes.
    fn head(name: &str, parameters: &[(&str, Type)], result: Option<Type>) -> String;
    /// The call of such a function.
    fn call(name: &str, arguments: &[&str]) -> String;
    /// A word of a value, from the lowest on.
    fn word(kind: Kind, value: &str, number: usize) -> String;
    /// Whether one value is before another.
    fn less(kind: Kind, a: &str, b: &str) -> String;
    /// Names a value.
    fn name(kind: Type, name: &str, value: &str) -> String;
    /// A member of a struct.
    fn member(kind: Kind, name: &str) -> String;
    /// A value of a struct.
    fn make(name: &str, members: &[String]) -> String;
    /// Whether a function knows one kind of memory, and has to be printed for each.
    const APART: bool;
    /// What is behind the last member of a struct.
    const STRUCT_END: &'static str;
    /// A word that is changed later.
    fn variable(name: &str, value: &str) -> String;
    /// Reading a word of a group.
    fn read(table: Table, at: &str) -> String;
    /// Reading a wide word of a group in the table of the launch.
    fn read_wide(number: usize) -> String;
    /// Writing a word of a record.
    fn write(at: &str, value: &str) -> String;
}

/// Which table a group is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// That of a block, in its own memory.
    Block,
    /// That of the launch.
    Launch,
}

impl Table {
    pub(super) const BOTH: [Self; 2] = [Self::Block, Self::Launch];

    /// How functions end that are printed for each table.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Self::Block => "_block",
            Self::Launch => "_table",
        }
    }

    /// How those of a language do that need not be.
    fn helper<L: Language>(self) -> &'static str {
        if L::APART { self.ending() } else { "" }
    }
}

/// A type of what functions are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Value(Kind),
    Row,
    Keys,
    /// Where the words of a group begin.
    Words,
    /// Where its wide words begin.
    Wide,
    /// Where its record begins.
    Record,
}

const ROW: (&str, Type) = ("row", Type::Value(Kind::U32));

/// The functions of a grouping.
pub(super) fn functions<L: Language>(program: &Program, grouping: &Grouping, sums: Sums) -> String {
    let mut text = String::new();
    keys::<L>(&mut text, program, grouping);
    let keep = program.keep().map_or("true".to_owned(), |reg| format!("r.{reg}"));
    let head = L::head("sabot_keeps", &[("r", Type::Row)], Some(Type::Value(Kind::Bool)));
    let _ = writeln!(text, "{head} {{\n  return {keep};\n}}\n");
    for (number, accumulator) in grouping.accumulators.iter().enumerate() {
        if let (Fold::Best { greatest }, Some(output)) = (accumulator.fold, accumulator.output) {
            best::<L>(&mut text, program, number, program.outputs()[output].value, greatest);
        }
    }
    for table in Table::BOTH {
        accumulate::<L>(&mut text, program, grouping, sums, table);
    }
    merge::<L>(&mut text, program, grouping, sums);
    record::<L>(&mut text, program, grouping, sums);
    text
}

/// The instructions that some values need.
fn needed(program: &Program, roots: impl IntoIterator<Item = Reg>) -> Vec<bool> {
    let mut wanted = vec![false; program.instructions().len()];
    roots.into_iter().for_each(|reg| wanted[reg.index()] = true);
    for at in (0..wanted.len()).rev() {
        if wanted[at] {
            for operand in operands(program.instructions()[at].0).into_iter().flatten() {
                wanted[operand.index()] = true;
            }
        }
    }
    wanted
}

/// The registers of the keys, each once: values, and whether they are null.
fn key_regs(program: &Program, grouping: &Grouping) -> Vec<Reg> {
    let outputs = grouping.keys.iter().map(|key| program.outputs()[*key]);
    let mut regs: Vec<Reg> = outputs.flat_map(|o| std::iter::once(o.value).chain(o.valid)).collect();
    regs.sort_unstable();
    regs.dedup();
    regs
}

fn keys<L: Language>(text: &mut String, program: &Program, grouping: &Grouping) {
    let regs = key_regs(program, grouping);
    // A struct has a member at least.
    let _ = writeln!(text, "struct SabotKeys {{\n  {}", L::member(Kind::U32, "none"));
    for reg in &regs {
        let _ = writeln!(text, "  {}", L::member(program.kind(*reg), &reg.to_string()));
    }
    let members = |of: &str| -> Vec<String> {
        std::iter::once("0u".to_owned()).chain(regs.iter().map(|reg| format!("{of}{reg}"))).collect()
    };
    let head = L::head("sabot_keys_of", &[("r", Type::Row)], Some(Type::Keys));
    let _ = writeln!(text, "{}\n\n{head} {{\n{}}}\n", L::STRUCT_END, L::make("SabotKeys", &members("r.")));
    let head = L::head("sabot_keys", &[ROW], Some(Type::Keys));
    let _ = writeln!(text, "{head} {{");
    L::instructions(text, program, &needed(program, regs.iter().copied()));
    let _ = writeln!(text, "{}}}\n", L::make("SabotKeys", &members("")));
    let head = L::head("sabot_hash", &[("k", Type::Keys)], Some(Type::Value(Kind::U32)));
    let mut hash = "0u".to_owned();
    let mut same = "true".to_owned();
    for reg in &regs {
        let kind = program.kind(*reg);
        for word in 0..words_of_kind(kind) {
            let of = |key: &str| L::word(kind, &format!("{key}.{reg}"), word);
            hash = format!("sabot_mix({hash}, {})", of("k"));
            same = format!("{same} && {} == {}", of("a"), of("b"));
        }
    }
    let _ = writeln!(text, "{head} {{\n  return sabot_mixed({hash});\n}}\n");
    let head = L::head("sabot_same", &[("a", Type::Keys), ("b", Type::Keys)], Some(Type::Value(Kind::Bool)));
    let _ = writeln!(text, "{head} {{\n  return {same};\n}}\n");
}

/// The value of a row, and whether it takes the place of another one's. Of equal values the first row is taken.
fn best<L: Language>(text: &mut String, program: &Program, number: usize, value: Reg, greatest: bool) {
    let kind = program.kind(value);
    let head = L::head(&format!("sabot_value_{number}"), &[ROW], Some(Type::Value(kind)));
    let _ = writeln!(text, "{head} {{");
    L::instructions(text, program, &needed(program, [value]));
    let _ = writeln!(text, "  return {value};\n}}\n");
    let parameters = [("value", Type::Value(kind)), ROW, ("other", Type::Value(Kind::U32))];
    let head = L::head(&format!("sabot_better_{number}"), &parameters, Some(Type::Value(Kind::Bool)));
    let less = |a, b| if greatest { L::less(kind, b, a) } else { L::less(kind, a, b) };
    let _ = writeln!(
        text,
        "{head} {{\n{}  return {} || (!({}) && row < other);\n}}\n",
        L::name(Type::Value(kind), "best", &L::call(&format!("sabot_value_{number}"), &["other"])),
        less("value", "best"),
        less("best", "value")
    );
    for table in Table::BOTH.into_iter().filter(|table| L::APART || *table == Table::Launch) {
        let memory = table.helper::<L>();
        let parameters = [("at", Type::Words), ("value", Type::Value(kind)), ROW];
        let head = L::head(&format!("sabot_best_{number}{memory}"), &parameters, None);
        let start = format!("{}  for (;;) {{\n", L::variable("held", &L::read(table, "at")));
        let better = L::call(&format!("sabot_better_{number}"), &["value", "row", "held - 1u"]);
        let _ = writeln!(
            text,
            "{head} {{\n{start}    if (held != 0u && !{better}) {{\n      return;\n    }}\n{}    if (seen == held) {{\n      \
             return;\n    }}\n    held = seen;\n  }}\n}}\n",
            L::name(Type::Value(Kind::U32), "seen", &format!("sabot_swap{memory}(at, held, row + 1u)")),
        );
    }
}

/// A statement that runs where an output is not null.
fn where_valid(output: Option<Output>, of: &str, statement: &str) -> String {
    match output.and_then(|output| output.valid) {
        Some(valid) => format!("  if ({of}{valid}) {{\n{statement}  }}\n"),
        None => format!("  {{\n{statement}  }}\n"),
    }
}

fn accumulate<L: Language>(
    text: &mut String,
    program: &Program,
    grouping: &Grouping,
    sums: Sums,
    table: Table,
) {
    let memory = table.helper::<L>();
    let parameters = [("at", Type::Words), ("wide", Type::Wide), ROW, ("r", Type::Row)];
    let head = L::head(&format!("sabot_accumulate{}", table.ending()), &parameters, None);
    let _ = writeln!(text, "{head} {{\n  sabot_first{memory}(at, ~row);");
    for (number, accumulator) in grouping.accumulators.iter().enumerate() {
        let output = accumulator.output.map(|output| program.outputs()[output]);
        let place = match table {
            Table::Block => Place::Words(grouping.offset(program, number)),
            Table::Launch => grouping.place(program, number, sums),
        };
        let statement = match (accumulator.fold, output, place) {
            (Fold::SumFloats, Some(output), Place::Wide(at)) => {
                format!("    sabot_add_float(wide + {at}u, r.{});\n", output.value)
            }
            // Where floats are summed, blocks have no tables.
            (Fold::SumFloats, ..) => continue,
            (Fold::Sum, Some(output), place) => {
                let (kind, value) = (program.kind(output.value), format!("r.{}", output.value));
                let mut words: Vec<String> =
                    (0..words_of_kind(kind)).map(|word| L::word(kind, &value, word)).collect();
                // What the value is continued with.
                words.push(match words.last() {
                    Some(high) if kind.is_signed() => format!("(0u - (({high}) >> 31u))"),
                    _ => "0u".to_owned(),
                });
                added::<L>(table, place, words)
            }
            (Fold::Best { .. }, Some(output), Place::Words(at)) => {
                let (at, value) = (format!("at + {at}u"), format!("r.{}", output.value));
                let call = L::call(&format!("sabot_best_{number}{memory}"), &[&at, &value, "row"]);
                format!("    {call};\n")
            }
            _ => added::<L>(table, place, vec!["1u".to_owned()]),
        };
        text.push_str(&where_valid(output, "r.", &statement));
    }
    text.push_str("}\n\n");
}

/// Adds a number, given by its words from the lowest on, to a sum.
pub(super) fn added<L: Language>(table: Table, place: Place, words: Vec<String>) -> String {
    let offset = match place {
        Place::Words(offset) => offset,
        Place::Wide(at) => {
            return match &words[..] {
                [low, middle, high] => {
                    format!("    sabot_add_halves(wide + {at}u, {low}, sabot_joined({middle}, {high}));\n")
                }
                words => format!("    sabot_add_wide(wide + {at}u, sabot_joined({}));\n", words.join(", ")),
            };
        }
    };
    let mut statement = String::new();
    let mut carry = "0u".to_owned();
    for (number, word) in words.into_iter().enumerate() {
        let value = format!("sabot_add{}(at + {}u, {word}, {carry})", table.helper::<L>(), offset + number);
        carry = format!("carry{number}");
        statement += &format!("  {}", L::name(Type::Value(Kind::U32), &carry, &value));
    }
    statement
}

fn merge<L: Language>(text: &mut String, program: &Program, grouping: &Grouping, sums: Sums) {
    let to = Table::Launch.helper::<L>();
    let parameters = [("near", Type::Words), ("at", Type::Words), ("wide", Type::Wide)];
    let head = L::head("sabot_merge", &parameters, None);
    let _ = writeln!(text, "{head} {{\n  sabot_first{to}(at, {});", L::read(Table::Block, "near"));
    for (number, accumulator) in grouping.accumulators.iter().enumerate() {
        let offset = grouping.offset(program, number);
        let word = |word: usize| L::read(Table::Block, &format!("near + {}u", offset + word));
        let statement = match (accumulator.fold, grouping.place(program, number, sums)) {
            (Fold::SumFloats, _) => continue,
            (Fold::Best { .. }, Place::Words(at)) => {
                let value = L::call(&format!("sabot_value_{number}"), &["row - 1u"]);
                let call = L::call(
                    &format!("sabot_best_{number}{to}"),
                    &[&format!("at + {at}u"), &value, "row - 1u"],
                );
                format!(
                    "  {}    if (row != 0u) {{\n      {call};\n    }}\n",
                    L::name(Type::Value(Kind::U32), "row", &word(0))
                )
            }
            (_, place) => {
                let words = (0..grouping.words_of(program, number)).map(word).collect();
                added::<L>(Table::Launch, place, words)
            }
        };
        let _ = write!(text, "  {{\n{statement}  }}\n");
    }
    text.push_str("}\n\n");
}

/// Writes down what accumulators have: their words, as the table of a block has them, then the sums of floats.
fn accumulated<L: Language>(text: &mut String, program: &Program, grouping: &Grouping, sums: Sums) {
    let half = |word: &str, half: usize| L::word(Kind::U64, word, half);
    text.push_str(&L::write("to", &L::read(Table::Launch, "at")));
    for number in 0..grouping.accumulators.len() {
        let count = grouping.words_of(program, number);
        let words: Vec<String> = match (grouping.place(program, number, sums), count) {
            (Place::Words(at), _) => {
                (at..at + count).map(|word| L::read(Table::Launch, &format!("at + {word}u"))).collect()
            }
            (Place::Wide(at), 3) => {
                let low = L::read_wide(at);
                let high = format!("sabot_carried({low}, {})", L::read_wide(at + 1));
                vec![half(&low, 0), half(&high, 0), half(&high, 1)]
            }
            (Place::Wide(at), _) => (0..2).map(|number| half(&L::read_wide(at), number)).collect(),
        };
        let to = match count {
            0 => grouping.words(program) + 2 * grouping.float(number),
            _ => grouping.offset(program, number),
        };
        for (word, value) in words.iter().enumerate() {
            text.push_str(&L::write(&format!("to + {}u", to + word), value));
        }
    }
}

fn record<L: Language>(text: &mut String, program: &Program, grouping: &Grouping, sums: Sums) {
    let parameters = [("at", Type::Words), ("wide", Type::Wide), ("to", Type::Record)];
    let head = L::head("sabot_record", &parameters, None);
    let _ = writeln!(text, "{head} {{");
    accumulated::<L>(text, program, grouping, sums);
    if grouping.recorded.iter().any(|recorded| matches!(recorded, Recorded::Key(_))) {
        let first = format!("~{}", L::read(Table::Launch, "at"));
        text.push_str(&L::name(Type::Keys, "k", &L::call("sabot_keys", &[&first])));
    }
    for (number, recorded) in grouping.recorded.iter().enumerate() {
        let Some(output) = grouping.recorded_output(*recorded).map(|output| program.outputs()[output]) else {
            continue;
        };
        let (at, kind) = (grouping.recorded_at(program, number), program.kind(output.value));
        let values = |value: &str, at: usize| -> String {
            (0..words_of_kind(kind))
                .map(|word| L::write(&format!("to + {}u", at + word), &L::word(kind, value, word)))
                .collect()
        };
        match *recorded {
            Recorded::Key(_) => {
                let flag = output.valid.map(|valid| L::word(Kind::Bool, &format!("k.{valid}"), 0));
                if let Some(flag) = &flag {
                    text.push_str(&L::write(&format!("to + {at}u"), flag));
                }
                text.push_str(&values(&format!("k.{}", output.value), at + usize::from(flag.is_some())));
            }
            Recorded::Best(accumulator) => {
                let Place::Words(found) = grouping.place(program, accumulator, sums) else { continue };
                let row = L::read(Table::Launch, &format!("at + {found}u"));
                let value = L::call(&format!("sabot_value_{accumulator}"), &["row - 1u"]);
                let _ = write!(
                    text,
                    "  {{\n  {}    if (row != 0u) {{\n    {}{}    }}\n  }}\n",
                    L::name(Type::Value(Kind::U32), "row", &row),
                    L::name(Type::Value(kind), "value", &value),
                    values("value", at)
                );
            }
        }
    }
    text.push_str("}\n");
}
