//! Rows that are folded by key: what a kernel keeps of each group.
//!
//! A block keeps its groups in words that are changed by atomic operations of 32 bits, which every device has, also in the memory
//! of a block. They begin as zeros. The first says which row of the group came first, as the greatest complement of a row's number. An integer
//! sum has a word more than its argument, as many rows add up to more than one holds: words are added from the lowest on, each
//! with the carry of the one before. A least or greatest value is the row that has it, and one: rows are compared by
//! computing their values once more, so values of all types are alike.
//!
//! The table of the launch has such words too, and *wide* words besides, of 64 bits. Sums of floats stand in them, and nowhere
//! else. With [`Sums::Wide`] those of integers do so too, which memory then adds by itself: nobody waits for a
//! carry. An argument of 32 bits is added to one wide word. One of 64 bits is taken apart into a low half that is signed
//! and a high half, each added to a wide word of its own, as fewer than 2^32 halves cannot overflow one; the high half of
//! a small number, of either sign, is zero, and is not added.

use crate::ir::{Kind, Program};

/// How the launch's table keeps the sums of integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sums {
    /// In words of 32 bits, as the table of a block does: where no other atomic operations are promised.
    Carried,
    /// In words of 64 bits, where memory adds to them by itself.
    Wide,
}

/// Where a table keeps what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In 32-bit words, from this one of a group.
    Words(usize),
    /// In wide words, from this one of a group.
    Wide(usize),
}

/// How rows are folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grouping {
    /// The outputs of the program by which rows are grouped. In canonical form, and zero where null, so that keys are
    /// equal where their bits are.
    pub keys: Vec<usize>,
    /// What is kept of a group.
    pub accumulators: Vec<Accumulator>,
    /// What is computed once more at the end, for each group.
    pub recorded: Vec<Recorded>,
}

/// Something that is kept of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accumulator {
    /// What.
    pub fold: Fold,
    /// Of which output of the program: rows in which it is null do not take part. All rows do without.
    pub output: Option<usize>,
}

/// How values are folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// Their number.
    Count,
    /// Their sum, exactly: in two's complement of all its words.
    Sum,
    /// Their sum in doubles, in any order.
    SumFloats,
    /// Any of the rows with the least value, counted from one; or with the greatest.
    Best {
        /// The greatest.
        greatest: bool,
    },
}

/// A value of a group that is computed from one of its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// A key, by its place among the keys.
    Key(usize),
    /// The value of the row that an accumulator has found, by its number; nothing where it has found none.
    Best(usize),
}

impl Grouping {
    /// 32-bit words that an accumulator takes in the table of a block and in a record; sums of floats have none.
    pub fn words_of(&self, program: &Program, accumulator: usize) -> usize {
        let Accumulator { fold, output } = self.accumulators[accumulator];
        match (fold, output) {
            (Fold::SumFloats, _) => 0,
            (Fold::Sum, Some(output)) => {
                let value = program.outputs()[output].value;
                1 + program.kind(value).bits().div_ceil(32) as usize
            }
            _ => 1,
        }
    }

    /// Where in a group's words an accumulator begins, behind the first row.
    pub fn offset(&self, program: &Program, accumulator: usize) -> usize {
        1 + (0..accumulator).map(|before| self.words_of(program, before)).sum::<usize>()
    }

    /// 32-bit words of a group in the table of a block, and those with which its record begins.
    pub fn words(&self, program: &Program) -> usize {
        self.offset(program, self.accumulators.len())
    }

    /// Where the table of a launch keeps an accumulator.
    pub(crate) fn place(&self, program: &Program, accumulator: usize, sums: Sums) -> Place {
        let before = 0..accumulator;
        match self.wide_of(program, accumulator, sums) {
            0 => Place::Words(1 + before.map(|n| self.table_words_of(program, n, sums)).sum::<usize>()),
            _ => Place::Wide(before.map(|n| self.wide_of(program, n, sums)).sum()),
        }
    }

    /// 32-bit words of a group in the table of a launch.
    pub fn table_words(&self, program: &Program, sums: Sums) -> usize {
        1 + (0..self.accumulators.len()).map(|n| self.table_words_of(program, n, sums)).sum::<usize>()
    }

    fn table_words_of(&self, program: &Program, accumulator: usize, sums: Sums) -> usize {
        match self.wide_of(program, accumulator, sums) {
            0 => self.words_of(program, accumulator),
            _ => 0,
        }
    }

    /// Wide words of a group in the table of a launch.
    pub fn wide_words(&self, program: &Program, sums: Sums) -> usize {
        (0..self.accumulators.len()).map(|n| self.wide_of(program, n, sums)).sum()
    }

    /// Wide words of an accumulator.
    fn wide_of(&self, program: &Program, accumulator: usize, sums: Sums) -> usize {
        match (self.accumulators[accumulator].fold, sums) {
            (Fold::SumFloats, _) => 1,
            // As many as its argument has words.
            (Fold::Sum, Sums::Wide) => self.words_of(program, accumulator) - 1,
            _ => 0,
        }
    }

    /// Which sum of floats an accumulator is, from 0.
    pub fn float(&self, accumulator: usize) -> usize {
        self.accumulators[..accumulator].iter().filter(|a| a.fold == Fold::SumFloats).count()
    }

    /// Sums of floats of a group.
    pub fn floats(&self) -> usize {
        self.float(self.accumulators.len())
    }

    /// The output of which a value is recorded, and whether it may be null.
    pub fn recorded_output(&self, recorded: Recorded) -> Option<usize> {
        match recorded {
            Recorded::Key(key) => self.keys.get(key).copied(),
            Recorded::Best(accumulator) => self.accumulators.get(accumulator)?.output,
        }
    }

    /// Where in a group's record a value stands: behind its words and its sums of floats, low word first. A key that may be
    /// null has a word in front, which is 1 where it is not.
    pub fn recorded_at(&self, program: &Program, number: usize) -> usize {
        let before = self.recorded[..number].iter().map(|recorded| self.recorded_words(program, *recorded));
        self.words(program) + 2 * self.floats() + before.sum::<usize>()
    }

    /// Words of a group's record.
    pub fn record_words(&self, program: &Program) -> usize {
        self.recorded_at(program, self.recorded.len())
    }

    fn recorded_words(&self, program: &Program, recorded: Recorded) -> usize {
        let Some(output) = self.recorded_output(recorded).map(|number| program.outputs()[number]) else {
            return 0;
        };
        let flag = matches!(recorded, Recorded::Key(_)) && output.valid.is_some();
        usize::from(flag) + words_of_kind(program.kind(output.value))
    }
}

/// Words of a value.
pub(crate) fn words_of_kind(kind: Kind) -> usize {
    kind.bits().div_ceil(32) as usize
}
