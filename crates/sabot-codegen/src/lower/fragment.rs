//! Fragments: chains of filters and projections, windows, and what stands behind them.

use arrow::datatypes::{DataType, SchemaRef};
use sabot_batch::{hidden, key_index::KeyIndex};
use sabot_expr::type_name;
use sabot_expr::types::{is_float, is_integer};
use sabot_ops::{
    AggregateFunction, AggregateSpec, Fragment, GroupByMode, GroupBySpec, OperatorSpec, PartitionSpec,
    WindowAssignSpec,
};
use sabot_time::Windows;

use super::{Column, ColumnSource, Lowering, Refused, Value, storage_of};
use crate::group::{Accumulator, Fold, Grouping, Recorded};
use crate::ir::{Input, Kind, Output, Program, Reg, Storage};

/// A fragment as a program.
#[derive(Clone, Debug, PartialEq)]
pub struct LoweredFragment {
    /// What happens to a row that is not late.
    pub program: Program,
    /// Columns that the host computes, in the order of their numbers: they follow those of the fragment's input.
    pub derived: Vec<Derived>,
    /// Which rows are late.
    pub late: Option<Late>,
    /// What becomes of rows.
    pub tail: Tail,
}

/// A column that the host makes of columns of the input.
#[derive(Clone, Debug, PartialEq)]
pub enum Derived {
    /// uint32, never null: equal where a column is equal as a key.
    Codes {
        /// The column.
        column: usize,
    },
    /// bool, never null: where a column is not null.
    Valid {
        /// The column.
        column: usize,
    },
    /// int64, never null: the start of the slice that holds a time.
    Slices {
        /// The column of event time.
        column: usize,
        /// The windows.
        windows: Windows,
    },
}

/// Late rows are told by the host, which reads one column for it, before anything travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Late {
    /// The column of lateness, in µs.
    pub column: usize,
    /// How late a row may be, in µs.
    pub allowed: i64,
    /// How many steps stand before the window.
    pub steps_before: usize,
}

/// What becomes of the rows that a program keeps.
#[derive(Clone, Debug, PartialEq)]
pub enum Tail {
    /// They leave, with these columns; behind a partition each to the task that an output of the program names.
    Rows {
        /// The columns.
        columns: Vec<ColumnSource>,
        /// The output.
        target: Option<usize>,
    },
    /// They are folded by key.
    Groups(Groups),
}

/// A group-by, and where its partial state comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Groups {
    /// The group-by.
    pub spec: GroupBySpec,
    /// What the kernel does.
    pub grouping: Grouping,
    /// Where the key columns come from: one of the input, in the first row of a group, or the kernel.
    pub keys: Vec<ColumnSource>,
    /// The columns of partial state, behind keys and hash.
    pub state: Vec<StateColumn>,
}

/// Where a column of partial state comes from. Numbers are those of accumulators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateColumn {
    /// A count.
    Count(usize),
    /// A sum of integers, null where the count is zero.
    Sum {
        /// The sum.
        sum: usize,
        /// The count.
        count: usize,
        /// Whether the argument has a sign.
        signed: bool,
    },
    /// A sum of floats, null where the count is zero.
    SumFloats {
        /// The sum.
        sum: usize,
        /// The count.
        count: usize,
    },
    /// A least or greatest value.
    Best {
        /// The row that has it.
        row: usize,
        /// The column that has it there.
        of: ColumnSource,
    },
}

/// What a fragment does to a row, and what becomes of it. A partition behind a group-by is left to the caller, who has the
/// hashes of the groups.
///
/// ```
/// # use arrow::datatypes::{DataType, Field, Schema};
/// # use sabot_codegen::{Tail, lower_fragment};
/// # use sabot_ops::{AggregateSpec, Fragment, GroupByMode, GroupBySpec};
/// # use std::sync::Arc;
/// let schema = Arc::new(Schema::new(vec![Field::new("origin", DataType::Utf8, false)]));
/// let aggregates = vec![AggregateSpec::count("flights")];
/// let spec = GroupBySpec { keys: vec![0], hashed: vec![0], seed: 0, aggregates, mode: GroupByMode::Partial };
/// let lowered = lower_fragment(&Fragment::new(schema, vec![spec.into()])?)?;
/// assert!(matches!(lowered.tail, Tail::Groups(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Refused`] with the first step or expression that has no kernel.
pub fn lower_fragment(fragment: &Fragment) -> Result<LoweredFragment, Refused> {
    let mut lowering = Lowering::default();
    let input = fragment.input().clone();
    let mut of = OfFragment { derived: Vec::new(), input, outputs: Vec::new() };
    let (mut schema, mut late, mut groups, mut target) = (fragment.input().clone(), None, None, None);
    for (number, step) in fragment.steps().iter().enumerate() {
        if groups.is_some() && !matches!(step, OperatorSpec::Partition(_)) {
            return Err(no_kernel(step, "what follows a group-by has no kernel yet"));
        }
        match step {
            OperatorSpec::FilterProject(spec) => lowering.filter_project(spec)?,
            // Only names change.
            OperatorSpec::Union(_) => {}
            OperatorSpec::WindowAssign(spec) => {
                let column =
                    of.window_assign(&mut lowering, spec, &schema).map_err(|why| no_kernel(step, why))?;
                late = Some(Late { column, allowed: spec.allowed_lateness.micros(), steps_before: number });
            }
            OperatorSpec::GroupBy(spec) => groups = Some(of.group_by(&mut lowering, spec, &schema, step)?),
            OperatorSpec::Partition(_) if groups.is_some() => {}
            OperatorSpec::Partition(spec) => {
                let task = of.target(&mut lowering, spec, &schema);
                target = Some(task.map_err(|why| no_kernel(step, why))?);
            }
            other => return Err(no_kernel(other, "it has no kernel yet")),
        }
        schema = step.output_schema(&schema).map_err(|error| no_kernel(step, error.to_string()))?;
    }
    let tail = match groups {
        Some(groups) => Tail::Groups(groups),
        None => {
            let columns = (0..schema.fields().len()).map(|index| lowering.column(index)).collect::<Vec<_>>();
            let columns = columns.into_iter().map(|column| of.source(column)).collect();
            Tail::Rows { columns, target: target.map(|target| of.output(target)) }
        }
    };
    let OfFragment { derived, outputs, .. } = of;
    let program = lowering.builder.finish(lowering.guard, lowering.failed, outputs);
    Ok(LoweredFragment { program, derived, late, tail })
}

fn no_kernel(step: &OperatorSpec, reason: impl Into<String>) -> Refused {
    Refused { expression: step.to_string(), reason: reason.into() }
}

/// What is gathered on the way through a fragment.
struct OfFragment {
    derived: Vec<Derived>,
    /// The fragment's input.
    input: SchemaRef,
    outputs: Vec<Output>,
}

impl OfFragment {
    /// The number of a column that the host computes.
    fn derive(&mut self, wanted: Derived) -> usize {
        let known = self.derived.iter().position(|known| *known == wanted);
        self.input.fields().len()
            + known.unwrap_or_else(|| {
                self.derived.push(wanted);
                self.derived.len() - 1
            })
    }

    /// The number of an output of the program.
    fn output(&mut self, output: Output) -> usize {
        self.outputs.iter().position(|known| *known == output).unwrap_or_else(|| {
            self.outputs.push(output);
            self.outputs.len() - 1
        })
    }

    fn source(&mut self, column: Column) -> ColumnSource {
        match column {
            Column::Input(index) => ColumnSource::Passed(index),
            Column::Computed(Value { reg, valid }, storage) => {
                ColumnSource::Computed(self.output(Output { value: reg, valid, storage }))
            }
        }
    }

    /// The window column behind all others; gives the column of lateness.
    fn window_assign(
        &mut self,
        lowering: &mut Lowering,
        spec: &WindowAssignSpec,
        schema: &SchemaRef,
    ) -> Result<usize, String> {
        let passed = |name: &str| {
            let index = schema.index_of(name).map_err(|error| error.to_string())?;
            match lowering.column(index) {
                Column::Input(index) => Ok(index),
                Column::Computed(..) => Err(format!("{name} is computed in the same fragment")),
            }
        };
        let (time, late) = (passed(hidden::TIME)?, passed(hidden::LATE)?);
        let mut columns: Vec<Column> =
            (0..schema.fields().len()).map(|index| lowering.column(index)).collect();
        let input = |column| Input { column, storage: Storage::I64, nullable: false };
        let (value, _) = lowering.builder.input(input(time));
        let start = match lowering.slice_of(&spec.window, value) {
            Some((start, inside)) => {
                lowering.keep(inside);
                Column::Computed(start, Storage::I64)
            }
            None => Column::Input(self.derive(Derived::Slices { column: time, windows: spec.window })),
        };
        columns.push(start);
        lowering.columns = Some(columns);
        Ok(late)
    }

    /// The task that owns a row's key.
    fn target(
        &mut self,
        lowering: &mut Lowering,
        spec: &PartitionSpec,
        schema: &SchemaRef,
    ) -> Result<Output, String> {
        let owners = (spec.key_groups, spec.parallelism);
        let value = match schema.index_of(hidden::HASH) {
            Ok(index) => {
                let hash = self.value(lowering, index, &DataType::UInt64)?;
                let [_, high] = lowering.halves(hash.reg);
                lowering.task_of_hash(high, owners.0, owners.1)
            }
            Err(_) => {
                let mut keys = Vec::with_capacity(spec.keys.len());
                for index in &spec.keys {
                    let data_type = schema.field(*index).data_type().clone();
                    keys.push((self.value(lowering, *index, &data_type)?, data_type));
                }
                let types = || keys.iter().map(|(_, t)| type_name(t)).collect::<Vec<_>>().join(", ");
                let task = lowering.task_of_key(spec.seed, &keys, owners);
                task.ok_or_else(|| format!("a hash of {} is computed by the CPU", types()))?
            }
        };
        Ok(Output { value, valid: None, storage: Storage::U32 })
    }

    fn group_by(
        &mut self,
        lowering: &mut Lowering,
        spec: &GroupBySpec,
        schema: &SchemaRef,
        step: &OperatorSpec,
    ) -> Result<Groups, Refused> {
        if spec.mode != GroupByMode::Partial {
            return Err(no_kernel(step, "partial state is merged and finished by the CPU, where it is kept"));
        }
        let mut grouping = Grouping { keys: Vec::new(), accumulators: Vec::new(), recorded: Vec::new() };
        let mut keys = Vec::new();
        for index in &spec.keys {
            let (column, data_type) = (lowering.column(*index), schema.field(*index).data_type());
            let (value, storage) =
                self.key(lowering, column, data_type).map_err(|why| no_kernel(step, why))?;
            let canonical = lowering.canonical(value);
            let key = self.output(Output { value: canonical.reg, valid: canonical.valid, storage });
            grouping.keys.push(key);
            keys.push(match column {
                Column::Input(index) => ColumnSource::Passed(index),
                Column::Computed(..) => {
                    grouping.recorded.push(Recorded::Key(grouping.keys.len() - 1));
                    ColumnSource::Computed(key)
                }
            });
        }
        let mut state = Vec::new();
        for aggregate in &spec.aggregates {
            let columns = self.aggregate(lowering, aggregate, &mut grouping);
            state.extend(columns.map_err(|reason| no_kernel(step, format!("{aggregate}: {reason}")))?);
        }
        Ok(Groups { spec: spec.clone(), grouping, keys, state })
    }

    /// A key as a value, or as its code where no register holds it.
    fn key(
        &mut self,
        lowering: &mut Lowering,
        column: Column,
        data_type: &DataType,
    ) -> Result<(Value, Storage), String> {
        let index = match column {
            Column::Computed(value, storage) => return Ok((value, storage)),
            Column::Input(index) => index,
        };
        if let Some(storage) = self.storage_of_input(index, data_type) {
            let (reg, valid) =
                lowering.builder.input(Input { column: index, storage, nullable: self.nullable(index) });
            return Ok((Value { reg, valid }, storage));
        }
        if !KeyIndex::supports(data_type) {
            return Err(format!("{} is not a type of keys", type_name(data_type)));
        }
        let column = self.derive(Derived::Codes { column: index });
        let (reg, valid) = lowering.builder.input(Input { column, storage: Storage::U32, nullable: false });
        Ok((Value { reg, valid }, Storage::U32))
    }

    /// Whether a column of the input may be null; what the host computes never is.
    fn nullable(&self, index: usize) -> bool {
        self.input.fields().get(index).is_some_and(|field| field.is_nullable())
    }

    /// How a column of the input, or one that the host computes, lies in memory.
    fn storage_of_input(&self, index: usize, data_type: &DataType) -> Option<Storage> {
        match index.checked_sub(self.input.fields().len()).and_then(|derived| self.derived.get(derived)) {
            Some(Derived::Codes { .. }) => Some(Storage::U32),
            Some(Derived::Valid { .. }) => Some(Storage::Bit),
            Some(Derived::Slices { .. }) => Some(Storage::I64),
            None => storage_of(data_type),
        }
    }

    /// What is kept of a group for an aggregate.
    fn aggregate(
        &mut self,
        lowering: &mut Lowering,
        aggregate: &AggregateSpec,
        grouping: &mut Grouping,
    ) -> Result<Vec<StateColumn>, String> {
        use AggregateFunction as F;
        let filter = aggregate.filter.map(|index| {
            let value = self.value(lowering, index, &DataType::Boolean)?;
            Ok::<Reg, String>(lowering.is_true(value))
        });
        let filter = filter.transpose()?;
        let argument = match (&aggregate.function, aggregate.arguments.as_slice()) {
            (F::Count, []) => {
                let count = match filter {
                    Some(filter) => self.taken(lowering, filter),
                    None => None,
                };
                return Ok(vec![StateColumn::Count(add(grouping, Fold::Count, count))]);
            }
            (_, [argument]) => argument,
            _ => return Err("it has no kernel yet".to_owned()),
        };
        let (index, data_type) = (argument.column, &argument.data_type);
        if aggregate.function == F::Count {
            let valid = self.validity(lowering, index, data_type)?;
            let taken = lowering.both(valid, filter);
            let count = taken.and_then(|taken| self.taken(lowering, taken));
            return Ok(vec![StateColumn::Count(add(grouping, Fold::Count, count))]);
        }
        let adds = matches!(aggregate.function, F::Sum | F::Avg);
        let extreme = match aggregate.function {
            F::Min | F::BoolAnd => Some(false),
            F::Max | F::BoolOr => Some(true),
            F::Sum | F::Avg => None,
            _ => return Err("it has no kernel yet".to_owned()),
        };
        let source = lowering.column(index);
        let value = self.value(lowering, index, data_type)?;
        let valid = lowering.both(value.valid, filter);
        let storage = storage_of(data_type).ok_or_else(|| no_register(data_type))?;
        let mut output = Output { value: value.reg, valid, storage };
        if let Some(greatest) = extreme {
            let output = self.output(output);
            let row = add(grouping, Fold::Best { greatest }, Some(output));
            let of = match source {
                Column::Input(index) => ColumnSource::Passed(index),
                Column::Computed(..) => {
                    if !grouping.recorded.contains(&Recorded::Best(row)) {
                        grouping.recorded.push(Recorded::Best(row));
                    }
                    ColumnSource::Computed(output)
                }
            };
            return Ok(vec![StateColumn::Best { row, of }]);
        }
        debug_assert!(adds);
        let float = is_float(data_type);
        let whole = is_integer(data_type)
            || matches!(data_type, DataType::Boolean | DataType::Timestamp(..) | DataType::Duration(_));
        if !float && !whole {
            return Err(no_register(data_type));
        }
        if float {
            output.value = lowering.builder.convert(Kind::F64, output.value);
            output.storage = Storage::F64;
        } else if storage == Storage::Bit {
            output.value = lowering.builder.convert(Kind::I32, output.value);
            output.storage = Storage::I32;
        }
        let signed = lowering.builder.kind(output.value).is_signed();
        let counted = output.valid.and_then(|valid| self.taken(lowering, valid));
        let output = self.output(output);
        let fold = if float { Fold::SumFloats } else { Fold::Sum };
        let sum = add(grouping, fold, Some(output));
        let count = add(grouping, Fold::Count, counted);
        let mut state = vec![match float {
            true => StateColumn::SumFloats { sum, count },
            false => StateColumn::Sum { sum, count, signed },
        }];
        if aggregate.function == F::Avg {
            state.push(StateColumn::Count(count));
        }
        Ok(state)
    }

    /// An output that is null where a condition is not met; none where it always is.
    fn taken(&mut self, lowering: &mut Lowering, condition: Reg) -> Option<usize> {
        if lowering.builder.as_bool(condition) == Some(true) {
            return None;
        }
        Some(self.output(Output { value: condition, valid: Some(condition), storage: Storage::Bit }))
    }

    fn value(&self, lowering: &mut Lowering, index: usize, data_type: &DataType) -> Result<Value, String> {
        match lowering.column(index) {
            Column::Computed(value, _) => Ok(value),
            Column::Input(index) => {
                let storage =
                    self.storage_of_input(index, data_type).ok_or_else(|| no_register(data_type))?;
                let input = Input { column: index, storage, nullable: self.nullable(index) };
                let (reg, valid) = lowering.builder.input(input);
                Ok(Value { reg, valid })
            }
        }
    }

    /// Where a column is not null, of any type.
    fn validity(
        &mut self,
        lowering: &mut Lowering,
        index: usize,
        data_type: &DataType,
    ) -> Result<Option<Reg>, String> {
        match lowering.column(index) {
            Column::Input(column) if storage_of(data_type).is_none() => {
                let column = self.derive(Derived::Valid { column });
                let input = Input { column, storage: Storage::Bit, nullable: false };
                Ok(Some(lowering.builder.input(input).0))
            }
            _ => Ok(self.value(lowering, index, data_type)?.valid),
        }
    }
}

fn no_register(data_type: &DataType) -> String {
    format!("{} is not a type that kernels compute with", type_name(data_type))
}

/// The number of an accumulator; equal ones are one.
fn add(grouping: &mut Grouping, fold: Fold, output: Option<usize>) -> usize {
    let wanted = Accumulator { fold, output };
    grouping.accumulators.iter().position(|known| *known == wanted).unwrap_or_else(|| {
        grouping.accumulators.push(wanted);
        grouping.accumulators.len() - 1
    })
}

impl Lowering {
    /// Only rows for which this is true go on.
    fn keep(&mut self, condition: Option<Reg>) {
        self.guard = self.both(self.guard, condition);
    }
}
