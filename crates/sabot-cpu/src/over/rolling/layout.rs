//! What a history holds, and what is read from it: a spec, taken apart so that everything is kept once.

use arrow::datatypes::{DataType, Field, SchemaRef};
use sabot_ops::{
    AggregateFunction, AggregateSpec, Distance, Failure, Frame, FrameBound, FrameUnits, OverCall,
    OverFunction, OverSpec,
};

use super::Turn;
use super::folds::FoldKind;
use super::history::LINE;
use super::lanes::{Form, Use};
use crate::over::internal;

/// Values of a column that are kept, in one lane or two.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Input {
    pub(super) column: usize,
    /// The rows that count, where not all do.
    pub(super) filter: Option<usize>,
    pub(super) form: Form,
    pub(super) data_type: DataType,
    pub(super) lane: usize,
    /// Which rows have a value; `None` when all have.
    pub(super) valid: Option<usize>,
}

/// One bit a row that is counted: whether a value is there, and the row counts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Flag {
    pub(super) column: Option<usize>,
    pub(super) filter: Option<usize>,
    /// The value must be there and true.
    pub(super) truth: bool,
}

/// Where a frame begins or ends, as a place in the history.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Edge {
    /// The first row of a time not before the row's, less so many µs.
    From(i64),
    /// Behind the last row of a time not after the row's, less so many µs.
    Behind(i64),
    /// So many rows before the row.
    RowsFrom(u64),
    /// Behind the row that is so many before the row.
    RowsBehind(u64),
}

impl Edge {
    /// Whether its place is searched by time, from where it was for the row before.
    pub(super) fn is_mark(self) -> bool {
        matches!(self, Edge::From(_) | Edge::Behind(_))
    }
}

/// A fold of an input's values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fold {
    pub(super) kind: FoldKind,
    pub(super) input: usize,
}

/// A column of intermediate results, one a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    /// How many rows stand in a frame, or have a flag.
    Count { frame: usize, flag: Option<usize> },
    /// A fold over a frame.
    Fold { frame: usize, fold: usize },
    /// How many different values stand in a frame.
    Distinct { frame: usize, distinct: usize },
}

/// How a column of the result is made.
#[derive(Clone, Debug)]
pub(super) enum Output {
    /// A cell of counts.
    Count(usize),
    /// Whether all (`true`) or any of so many are true: cells of the true ones, and of all.
    Truth {
        all: bool,
        truths: usize,
        values: usize,
    },
    /// An aggregate of a fold: cells of it, and of the values that it saw.
    Aggregate {
        spec: AggregateSpec,
        cell: usize,
        values: usize,
    },
    /// The share of booleans that are true.
    Share {
        truths: usize,
        values: usize,
    },
    /// The value of an input so many rows before.
    Lag {
        input: usize,
        rows: u64,
    },
    /// The value of an input in the first or last row of a frame.
    First {
        input: usize,
        frame: usize,
    },
    Last {
        input: usize,
        frame: usize,
    },
}

/// A spec, taken apart.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) inputs: Vec<Input>,
    pub(super) flags: Vec<Flag>,
    pub(super) folds: Vec<Fold>,
    /// Inputs whose different values are counted, and the lanes that link equal ones.
    pub(super) distinct: Vec<(usize, usize)>,
    /// Inputs whose sums are differences, and the lanes with the sums of all rows before.
    pub(super) totals: Vec<(usize, usize)>,
    /// Folds to the least or greatest of ordered words, and the lanes that link a row to the nearest better one.
    pub(super) better: Vec<(usize, usize)>,
    /// Cells that are found by these links.
    pub(super) bests: usize,
    pub(super) edges: Vec<Edge>,
    /// Frames as pairs of edges.
    pub(super) frames: Vec<(usize, usize)>,
    pub(super) cells: Vec<Cell>,
    pub(super) outputs: Vec<(Output, Field)>,
    /// Words of a row: the time, values, flags, links, sums of what was before.
    pub(super) lanes: usize,
    /// How many of these are read of single rows, and stand together; the others are folded over many rows.
    pub(super) near: usize,
    /// The first lane of flags, of which each lane has two.
    pub(super) flag_lane: usize,
    /// Words of the folds of a block of rows.
    pub(super) block: usize,
    /// How far back rows are reached: in µs, and in rows before the newest.
    pub(super) reach: Option<i64>,
    pub(super) reach_rows: u64,
}

/// The place of an item in a list, which it is added to when it is new.
fn place<T: PartialEq>(list: &mut Vec<T>, item: T) -> usize {
    list.iter().position(|other| *other == item).unwrap_or_else(|| {
        list.push(item);
        list.len() - 1
    })
}

impl Layout {
    /// The layout for a spec that [`OverSpec::check_rolling`] accepts.
    pub(super) fn new(spec: &OverSpec, schema: &SchemaRef, turn: Turn) -> Result<Self, Failure> {
        spec.check_rolling(schema).map_err(internal)?;
        let mut layout = Layout {
            inputs: Vec::new(),
            flags: Vec::new(),
            folds: Vec::new(),
            distinct: Vec::new(),
            totals: Vec::new(),
            better: Vec::new(),
            bests: 0,
            edges: Vec::new(),
            frames: Vec::new(),
            cells: Vec::new(),
            outputs: Vec::new(),
            lanes: 1,
            near: 1,
            flag_lane: 0,
            block: 0,
            reach: None,
            reach_rows: 0,
        };
        for (call, field) in spec.calls.iter().zip(spec.result_fields(schema).map_err(internal)?) {
            let output = layout.output(call, schema, turn)?;
            layout.outputs.push((output, field));
        }
        layout.flag_lane = layout.lanes;
        layout.lanes += layout.flags.len().div_ceil(2);
        for (_, lane) in &mut layout.distinct {
            *lane = layout.lanes;
            layout.lanes += 1;
        }
        // Sums of integers may be taken from each other. Words of unsigned ones are not what they count.
        for fold in layout.folds.iter().filter(|fold| fold.kind == FoldKind::Sum) {
            let is_new = layout.totals.iter().all(|(input, _)| *input != fold.input);
            if is_new && layout.inputs[fold.input].data_type != DataType::UInt64 {
                layout.totals.push((fold.input, layout.lanes));
                layout.lanes += 1;
            }
        }
        for (fold, kind) in layout.folds.iter().map(|fold| fold.kind).enumerate() {
            if matches!(kind, FoldKind::Least | FoldKind::Greatest) {
                layout.better.push((fold, layout.lanes));
                layout.lanes += 1;
            }
        }
        layout.bests = layout.cells.iter().filter(|cell| layout.is_best(cell)).count();
        layout.arrange();
        layout.block = layout.folds.iter().map(|fold| fold.kind.words()).sum();
        for edge in &layout.edges {
            match edge {
                Edge::From(far) => layout.reach = layout.reach.max(Some(*far)),
                Edge::RowsFrom(n) => layout.reach_rows = layout.reach_rows.max(*n),
                Edge::Behind(_) | Edge::RowsBehind(_) => {}
            }
        }
        if layout.reach_rows == 0 {
            // A frame of the row alone reaches the row.
            layout.reach = layout.reach.or(Some(0));
        }
        Ok(layout)
    }

    /// Whether a cell is found by links to better rows.
    pub(super) fn is_best(&self, cell: &Cell) -> bool {
        matches!(cell, Cell::Fold { fold, .. } if self.better.iter().any(|(other, _)| other == fold))
    }

    /// Puts what is read of single rows first. The others keep their order, so that the lanes of a value, and those
    /// of flags, stay side by side.
    fn arrange(&mut self) {
        let mut folded = vec![false; self.lanes];
        for (i, fold) in self.folds.iter().enumerate() {
            let by_totals =
                fold.kind == FoldKind::Sum && self.totals.iter().any(|(input, _)| *input == fold.input);
            if !by_totals && self.better.iter().all(|(other, _)| *other != i) {
                let input = &self.inputs[fold.input];
                folded[input.lane..input.lane + input.form.width()].fill(true);
            }
        }
        let near = folded.iter().filter(|folded| !**folded).count();
        // A row of such a number of words never lies in two lines of the cache.
        self.near = if near <= LINE { near.next_power_of_two() } else { near };
        let (mut next, mut next_folded) = (0, self.near);
        let places: Vec<usize> = folded
            .iter()
            .map(|folded| {
                let next = if *folded { &mut next_folded } else { &mut next };
                *next += 1;
                *next - 1
            })
            .collect();
        self.lanes = next_folded;
        self.flag_lane = places.get(self.flag_lane).copied().unwrap_or(self.lanes);
        self.inputs.iter_mut().for_each(|input| input.lane = places[input.lane]);
        let links = self.distinct.iter_mut().chain(&mut self.totals).chain(&mut self.better);
        links.for_each(|(_, lane)| *lane = places[*lane]);
    }

    /// Where the folds of a block begin.
    pub(super) fn block_offset(&self, fold: usize) -> usize {
        self.folds[..fold].iter().map(|fold| fold.kind.words()).sum()
    }

    fn output(&mut self, call: &OverCall, schema: &SchemaRef, turn: Turn) -> Result<Output, Failure> {
        Ok(match &call.function {
            OverFunction::Lag(column, rows) => {
                let input = self.input(*column, None, Use::Value, schema);
                // The row stays within reach of so many later ones.
                self.reach_rows = self.reach_rows.max(*rows);
                Output::Lag { input, rows: *rows }
            }
            OverFunction::FirstValue(column) => {
                let frame = self.frame(&call.frame, turn)?;
                Output::First { input: self.input(*column, None, Use::Value, schema), frame }
            }
            OverFunction::LastValue(column) => {
                let frame = self.frame(&call.frame, turn)?;
                Output::Last { input: self.input(*column, None, Use::Value, schema), frame }
            }
            OverFunction::Aggregate(spec) => {
                let frame = self.frame(&call.frame, turn)?;
                self.aggregate(spec, frame, schema)?
            }
            other => return Err(internal(format!("{} while rows come in", other.name()))),
        })
    }

    fn aggregate(
        &mut self,
        spec: &AggregateSpec,
        frame: usize,
        schema: &SchemaRef,
    ) -> Result<Output, Failure> {
        use AggregateFunction as F;
        let column = spec.arguments.first().map(|argument| argument.column);
        let nullable = column.is_some_and(|column| schema.field(column).is_nullable());
        let counts = (nullable || spec.filter.is_some()).then(|| Flag {
            column: column.filter(|_| nullable),
            filter: spec.filter,
            truth: false,
        });
        let flag = counts.map(|flag| place(&mut self.flags, flag));
        let values = place(&mut self.cells, Cell::Count { frame, flag });
        let Some(column) = column else { return Ok(Output::Count(values)) };
        let data_type = schema.field(column).data_type();
        if data_type == &DataType::Boolean && matches!(spec.function, F::Avg | F::BoolAnd | F::BoolOr) {
            let truth = Flag { column: Some(column), filter: spec.filter, truth: true };
            let flag = Some(place(&mut self.flags, truth));
            let truths = place(&mut self.cells, Cell::Count { frame, flag });
            return Ok(match spec.function {
                F::Avg => Output::Share { truths, values },
                ref function => Output::Truth { all: function == &F::BoolAnd, truths, values },
            });
        }
        let (used, kind): (_, fn(Form) -> FoldKind) = match spec.function {
            F::Count => return Ok(Output::Count(values)),
            F::CountDistinct => {
                let input = self.input(column, spec.filter, Use::Equal, schema);
                let distinct = match self.distinct.iter().position(|(other, _)| *other == input) {
                    Some(known) => known,
                    None => {
                        self.distinct.push((input, 0));
                        self.distinct.len() - 1
                    }
                };
                return Ok(Output::Count(place(&mut self.cells, Cell::Distinct { frame, distinct })));
            }
            F::Sum | F::Avg => (Use::Number, FoldKind::sum),
            F::Min => (Use::Compare, FoldKind::least),
            F::Max => (Use::Compare, FoldKind::greatest),
            _ if data_type.is_integer() => (Use::Compare, |_| FoldKind::ExactMoments),
            _ => (Use::Double, |_| FoldKind::Moments),
        };
        let input = self.input(column, spec.filter, used, schema);
        let fold = Fold { kind: kind(self.inputs[input].form), input };
        let fold = place(&mut self.folds, fold);
        let cell = place(&mut self.cells, Cell::Fold { frame, fold });
        Ok(Output::Aggregate { spec: spec.clone(), cell, values })
    }

    fn input(&mut self, column: usize, filter: Option<usize>, used: Use, schema: &SchemaRef) -> usize {
        let field = schema.field(column);
        let form = Form::of(field.data_type(), used);
        let same = |input: &Input| input.column == column && input.filter == filter && input.form == form;
        if let Some(known) = self.inputs.iter().position(same) {
            return known;
        }
        let nullable = field.is_nullable();
        let valid = (nullable || filter.is_some()).then(|| {
            let flag = Flag { column: nullable.then_some(column), filter, truth: false };
            place(&mut self.flags, flag)
        });
        let (lane, data_type) = (self.lanes, field.data_type().clone());
        self.lanes += form.width();
        self.inputs.push(Input { column, filter, form, data_type, lane, valid });
        self.inputs.len() - 1
    }

    fn frame(&mut self, frame: &Frame, turn: Turn) -> Result<usize, Failure> {
        let distance = |distance: Distance| match distance {
            Distance::Count(rows) => Ok((0, rows)),
            Distance::Span(span) => Ok((span.micros(), 0)),
            Distance::Float(_) => Err(internal("a frame of time at the distance of a float")),
        };
        let far = |bound: FrameBound| match bound {
            FrameBound::CurrentRow => Ok((0, 0)),
            FrameBound::Preceding(far) => distance(far),
            other => Err(internal(format!("a frame with {other}, while rows come in"))),
        };
        let ((span, rows), (end_span, end_rows)) = (far(frame.start)?, far(frame.end)?);
        let (start, end) = match frame.units {
            FrameUnits::Rows => (Edge::RowsFrom(rows), Edge::RowsBehind(end_rows)),
            // On arrival nobody has seen the peers that are still to come.
            FrameUnits::Range if turn == Turn::OnArrival && end_span == 0 => {
                (Edge::From(span), Edge::RowsBehind(0))
            }
            FrameUnits::Range => (Edge::From(span), Edge::Behind(end_span)),
        };
        let edges = (place(&mut self.edges, start), place(&mut self.edges, end));
        Ok(place(&mut self.frames, edges))
    }
}
