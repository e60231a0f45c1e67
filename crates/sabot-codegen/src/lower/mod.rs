//! Typed expressions as programs.
//!
//! Each expression becomes a value, a validity where it may be null, and errors of its own. What the language
//! evaluates only for rows that reach it is computed for all rows here, and its errors count only under the
//! *guard*, the condition under which the row reaches it. Which row failed and how is not computed: a kernel says
//! that some row did, and the reference implementation says the rest.

mod arithmetic;
mod cast;
mod fragment;
mod function;
mod hash;
mod time;
mod window;

pub use fragment::{Derived, Groups, Late, LoweredFragment, StateColumn, Tail, lower_fragment};

use arrow::datatypes::{DataType, IntervalUnit};
use sabot_expr::{BinaryOp, BoundFunction, Scalar, TypedExpr, TypedKind, type_name};
use sabot_ops::FilterProjectSpec;

use crate::ir::{Binary, Builder, Input, Kind, Output, Program, Reg, Storage, UserFunction};

/// An expression that kernels cannot compute.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{expression}`: {reason}")]
pub struct Refused {
    /// The innermost expression that is at fault.
    pub expression: String,
    /// Why, in words a user understands: `utf8 is not a type that kernels compute with`.
    pub reason: String,
}

/// How values of a type lie in memory; `None` for a type that kernels do not compute with.
///
/// ```
/// # use arrow::datatypes::{DataType, TimeUnit};
/// # use sabot_codegen::{Storage, storage_of};
/// assert_eq!(storage_of(&DataType::Timestamp(TimeUnit::Microsecond, None)), Some(Storage::I64));
/// assert_eq!(storage_of(&DataType::Utf8), None);
/// ```
pub fn storage_of(data_type: &DataType) -> Option<Storage> {
    Some(match data_type {
        DataType::Boolean => Storage::Bit,
        DataType::Int8 => Storage::I8,
        DataType::Int16 => Storage::I16,
        DataType::Int32
        | DataType::Date32
        | DataType::Time32(_)
        | DataType::Interval(IntervalUnit::YearMonth) => Storage::I32,
        DataType::Int64
        | DataType::Date64
        | DataType::Time64(_)
        | DataType::Timestamp(_, _)
        | DataType::Duration(_) => Storage::I64,
        DataType::UInt8 => Storage::U8,
        DataType::UInt16 => Storage::U16,
        DataType::UInt32 => Storage::U32,
        DataType::UInt64 => Storage::U64,
        DataType::Float32 => Storage::F32,
        DataType::Float64 => Storage::F64,
        _ => return None,
    })
}

/// Where a column of a fragment's output comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnSource {
    /// A column of the input, as it is.
    Passed(usize),
    /// An output of the program.
    Computed(usize),
}

/// A chain of filter-projects as a program.
#[derive(Clone, Debug, PartialEq)]
pub struct Lowered {
    /// What happens to a row.
    pub program: Program,
    /// The columns of the output, in order.
    pub columns: Vec<ColumnSource>,
}

/// What a chain of filter-projects does to a row. Columns that go through as they are need no kernel, and are no
/// outputs of the program.
///
/// # Errors
/// [`Refused`] with the first expression that kernels cannot compute.
pub fn lower_filter_projects(steps: &[&FilterProjectSpec]) -> Result<Lowered, Refused> {
    let mut lowering = Lowering::default();
    for spec in steps {
        lowering.filter_project(spec)?;
    }
    let mut outputs: Vec<Output> = Vec::new();
    let columns = lowering.columns.unwrap_or_default().into_iter().map(|column| match column {
        Column::Input(index) => ColumnSource::Passed(index),
        Column::Computed(Value { reg, valid }, storage) => {
            let output = Output { value: reg, valid, storage };
            let number = outputs.iter().position(|known| *known == output).unwrap_or_else(|| {
                outputs.push(output);
                outputs.len() - 1
            });
            ColumnSource::Computed(number)
        }
    });
    let columns = columns.collect();
    Ok(Lowered { program: lowering.builder.finish(lowering.guard, lowering.failed, outputs), columns })
}

fn refused(expr: &TypedExpr, reason: impl Into<String>) -> Refused {
    Refused { expression: expr.to_string(), reason: reason.into() }
}

fn unknown_type(expr: &TypedExpr, data_type: &DataType) -> Refused {
    refused(expr, format!("{} is not a type that kernels compute with", type_name(data_type)))
}

/// A column between two steps.
#[derive(Clone, Copy, Debug)]
enum Column {
    /// A column of the fragment's input.
    Input(usize),
    /// What a step has computed.
    Computed(Value, Storage),
}

/// A value that may be null.
#[derive(Clone, Copy, Debug)]
struct Value {
    reg: Reg,
    /// Never null without.
    valid: Option<Reg>,
}

#[derive(Debug, Default)]
struct Lowering {
    builder: Builder,
    /// The columns that expressions see; those of the fragment's input without.
    columns: Option<Vec<Column>>,
    /// The condition under which the row reaches what is being lowered; always without. Between steps: whether it is kept.
    guard: Option<Reg>,
    /// Whether the row has failed so far.
    failed: Option<Reg>,
}

impl Lowering {
    /// What a column is that the expressions of a step see. Specs are checked when they are made: there is one.
    fn column(&self, index: usize) -> Column {
        let columns = self.columns.as_ref();
        columns.and_then(|columns| columns.get(index).copied()).unwrap_or(Column::Input(index))
    }

    /// Goes on with the rows that a predicate keeps, and the columns of projections.
    fn filter_project(&mut self, spec: &FilterProjectSpec) -> Result<(), Refused> {
        if let Some(predicate) = &spec.predicate {
            let kept = self.value(predicate)?;
            let kept = self.is_true(kept);
            // Only rows that are kept reach what comes behind.
            self.guard = self.both(self.guard, Some(kept));
        }
        let mut columns = Vec::with_capacity(spec.projections.len() + spec.carried.len());
        for projection in &spec.projections {
            columns.push(match projection.expr.as_column() {
                Some(index) => self.column(index),
                None => {
                    let (value, storage) = (self.value(&projection.expr)?, projection.expr.data_type());
                    let storage =
                        storage_of(storage).ok_or_else(|| unknown_type(&projection.expr, storage))?;
                    Column::Computed(value, storage)
                }
            });
        }
        columns.extend(spec.carried.iter().map(|index| self.column(*index)));
        self.columns = Some(columns);
        Ok(())
    }

    fn value(&mut self, expr: &TypedExpr) -> Result<Value, Refused> {
        match expr.kind() {
            TypedKind::Column { index, .. } => {
                let index = match self.column(*index) {
                    Column::Input(index) => index,
                    Column::Computed(value, _) => return Ok(value),
                };
                let storage =
                    storage_of(expr.data_type()).ok_or_else(|| unknown_type(expr, expr.data_type()))?;
                let input = Input { column: index, storage, nullable: expr.nullable() };
                let (reg, valid) = self.builder.input(input);
                Ok(Value { reg, valid })
            }
            TypedKind::Literal(value) => self.literal(expr, value),
            TypedKind::Binary { op: BinaryOp::And, left, right } => self.decided_by(false, left, right),
            TypedKind::Binary { op: BinaryOp::Or, left, right } => self.decided_by(true, left, right),
            TypedKind::Binary { op, left, right } => {
                let (a, b) = (self.value(left)?, self.value(right)?);
                if op.is_comparison() {
                    let valid = self.both(a.valid, b.valid);
                    return Ok(Value { reg: self.compare(*op, a.reg, b.reg), valid });
                }
                self.arithmetic(expr, *op, a, b)
            }
            TypedKind::Not(input) => {
                let value = self.value(input)?;
                Ok(Value { reg: self.builder.not(value.reg), ..value })
            }
            TypedKind::Negate(input) => {
                let value = self.value(input)?;
                self.negate(expr, value)
            }
            TypedKind::IsNull(input) | TypedKind::IsNotNull(input) => {
                let valid = self.value(input)?.valid;
                let valid = valid.unwrap_or_else(|| self.builder.bool(true));
                let is_null = matches!(expr.kind(), TypedKind::IsNull(_));
                let reg = if is_null { self.builder.not(valid) } else { valid };
                Ok(Value { reg, valid: None })
            }
            TypedKind::Case { whens, otherwise } => self.case(expr, whens, otherwise.as_deref()),
            TypedKind::Cast { input, mode } => self.cast(expr, input, *mode),
            TypedKind::Coalesce(args) => self.coalesce(expr, args),
            TypedKind::InList { input, list, negated } => self.in_list(input, list, *negated),
            TypedKind::Like { .. } => Err(refused(expr, "LIKE has no kernel yet")),
            TypedKind::Function { function, args } => self.function(expr, *function, args),
            TypedKind::Call { function, args } => self.call(expr, function, args),
        }
    }

    /// A function of the user's that has something for devices.
    fn call(
        &mut self,
        expr: &TypedExpr,
        function: &BoundFunction,
        args: &[TypedExpr],
    ) -> Result<Value, Refused> {
        let no = |reason: String| refused(expr, reason);
        let body = function.device_body();
        let body = body.ok_or_else(|| no(format!("the function {} is for the CPU only", function.name())))?;
        if args.is_empty() || args.len() > 3 {
            return Err(no("a function on a device has one to three arguments".to_owned()));
        }
        let (mut arguments, mut kinds, mut valid) = ([None; 3], Vec::new(), None);
        for (argument, arg) in arguments.iter_mut().zip(args) {
            let value = self.value(arg)?;
            *argument = Some(value.reg);
            kinds.push(self.builder.kind(value.reg));
            valid = self.both(valid, value.valid);
        }
        let returns = expr.data_type();
        let storage = storage_of(returns).ok_or_else(|| unknown_type(expr, returns))?;
        if storage.bounds().is_some() {
            return Err(no(format!("{} is a narrow result of a function on a device", type_name(returns))));
        }
        kinds.push(storage.kind());
        let function = UserFunction {
            function: function.clone(),
            body,
            arguments: args.iter().map(|arg| arg.data_type().clone()).collect(),
            returns: returns.clone(),
            kinds,
        };
        Ok(Value { reg: self.builder.call(function, arguments), valid })
    }

    fn literal(&mut self, expr: &TypedExpr, value: &Scalar) -> Result<Value, Refused> {
        let storage = storage_of(expr.data_type()).ok_or_else(|| unknown_type(expr, expr.data_type()))?;
        let bits = match value {
            Scalar::Null(_) => return Ok(self.null(storage.kind())),
            Scalar::Boolean(v) => u64::from(*v),
            Scalar::Float32(v) => u64::from(v.to_bits()),
            Scalar::Float64(v) => v.to_bits(),
            Scalar::Date32(v) => u64::from(*v as u32),
            Scalar::IntervalYearMonth(v) => u64::from(*v as u32),
            Scalar::Date64(v) => *v as u64,
            Scalar::Time { value, .. } if storage == Storage::I32 => u64::from(*value as u32),
            Scalar::Time { value, .. } | Scalar::Timestamp { value, .. } | Scalar::Duration { value, .. } => {
                *value as u64
            }
            other => match (other.as_integer(), storage.kind().bits()) {
                (Some(v), 32) => u64::from(v as u32),
                (Some(v), _) => v as u64,
                (None, _) => return Err(unknown_type(expr, expr.data_type())),
            },
        };
        Ok(Value { reg: self.builder.constant(storage.kind(), bits), valid: None })
    }

    fn null(&mut self, kind: Kind) -> Value {
        Value { reg: self.builder.number(kind, 0), valid: Some(self.builder.bool(false)) }
    }

    /// The row is an error if this is true, its operands are there and it gets here.
    fn fail(&mut self, condition: Reg, valid: Option<Reg>) {
        let reached = self.both(valid, self.guard);
        let failed = reached.map_or(condition, |reached| self.builder.and(reached, condition));
        self.failed = Some(self.failed.map_or(failed, |before| self.builder.or(before, failed)));
    }

    /// Where both are true; `None` is always true.
    fn both(&mut self, a: Option<Reg>, b: Option<Reg>) -> Option<Reg> {
        match (a, b) {
            (Some(a), Some(b)) => Some(self.builder.and(a, b)),
            (one, None) | (None, one) => one,
        }
    }

    /// Whether a bool is true and not null.
    fn is_true(&mut self, value: Value) -> Reg {
        value.valid.map_or(value.reg, |valid| self.builder.and(valid, value.reg))
    }

    /// Lowers something that only rows reach for which `condition` is true.
    fn under<T>(
        &mut self,
        condition: Reg,
        lower: impl FnOnce(&mut Self) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        let before = self.guard;
        self.guard = self.both(before, Some(condition));
        let result = lower(self);
        self.guard = before;
        result
    }

    /// AND (decided by false) and OR (decided by true).
    fn decided_by(&mut self, decider: bool, left: &TypedExpr, right: &TypedExpr) -> Result<Value, Refused> {
        let a = self.value(left)?;
        let decided = |this: &mut Self, value: Value| {
            let reg = if decider { value.reg } else { this.builder.not(value.reg) };
            this.is_true(Value { reg, ..value })
        };
        let by_left = decided(self, a);
        let reaches = self.builder.not(by_left);
        let b = self.under(reaches, |this| this.value(right))?;
        let by_right = decided(self, b);
        let either = self.builder.or(by_left, by_right);
        let reg = if decider { either } else { self.builder.not(either) };
        // Known where one decides, or both are known.
        let valid = match self.both(a.valid, b.valid) {
            Some(both) => Some(self.builder.or(both, either)),
            None => None,
        };
        Ok(Value { reg, valid })
    }

    fn compare(&mut self, op: BinaryOp, a: Reg, b: Reg) -> Reg {
        let builder = &mut self.builder;
        if builder.kind(a) == Kind::Bool {
            let (not_a, not_b) = (builder.not(a), builder.not(b));
            return match op {
                BinaryOp::Eq => builder.binary(Binary::Xor, not_a, b),
                BinaryOp::NotEq => builder.binary(Binary::Xor, a, b),
                BinaryOp::Lt => builder.and(not_a, b),
                BinaryOp::LtEq => builder.or(not_a, b),
                BinaryOp::Gt => builder.and(a, not_b),
                _ => builder.or(a, not_b),
            };
        }
        match op {
            BinaryOp::Eq => builder.binary(Binary::Eq, a, b),
            BinaryOp::NotEq => {
                let equal = builder.binary(Binary::Eq, a, b);
                builder.not(equal)
            }
            BinaryOp::Lt => builder.binary(Binary::Lt, a, b),
            BinaryOp::LtEq => builder.binary(Binary::Le, a, b),
            BinaryOp::Gt => builder.binary(Binary::Lt, b, a),
            _ => builder.binary(Binary::Le, b, a),
        }
    }

    /// The first value where the condition holds, else the second.
    fn choose(&mut self, condition: Reg, a: Value, b: Value) -> Value {
        let reg = self.builder.select(condition, a.reg, b.reg);
        let valid = match (a.valid, b.valid) {
            (None, None) => None,
            (a, b) => {
                let always = self.builder.bool(true);
                Some(self.builder.select(condition, a.unwrap_or(always), b.unwrap_or(always)))
            }
        };
        Value { reg, valid }
    }

    fn case(
        &mut self,
        expr: &TypedExpr,
        whens: &[(TypedExpr, TypedExpr)],
        otherwise: Option<&TypedExpr>,
    ) -> Result<Value, Refused> {
        let before = self.guard;
        let mut branches = Vec::with_capacity(whens.len());
        for (when, then) in whens {
            let condition = self.value(when)?;
            let condition = self.is_true(condition);
            branches.push((condition, self.under(condition, |this| this.value(then))?));
            let goes_on = self.builder.not(condition);
            self.guard = self.both(self.guard, Some(goes_on));
        }
        let last = otherwise.map(|value| self.value(value)).transpose();
        self.guard = before;
        let last = match last? {
            Some(value) => value,
            None => self.null_of(expr)?,
        };
        Ok(branches.into_iter().rev().fold(last, |rest, (when, then)| self.choose(when, then, rest)))
    }

    fn null_of(&mut self, expr: &TypedExpr) -> Result<Value, Refused> {
        let storage = storage_of(expr.data_type()).ok_or_else(|| unknown_type(expr, expr.data_type()))?;
        Ok(self.null(storage.kind()))
    }

    fn coalesce(&mut self, expr: &TypedExpr, args: &[TypedExpr]) -> Result<Value, Refused> {
        let before = self.guard;
        let mut values = Vec::with_capacity(args.len());
        for arg in args {
            let value = self.value(arg)?;
            let valid = value.valid.unwrap_or_else(|| self.builder.bool(true));
            values.push((valid, value));
            let goes_on = self.builder.not(valid);
            self.guard = self.both(self.guard, Some(goes_on));
        }
        self.guard = before;
        let last = self.null_of(expr)?;
        Ok(values.into_iter().rev().fold(last, |rest, (valid, value)| self.choose(valid, value, rest)))
    }

    fn in_list(&mut self, input: &TypedExpr, list: &[TypedExpr], negated: bool) -> Result<Value, Refused> {
        let input = self.value(input)?;
        let before = self.guard;
        let mut found = self.builder.bool(false);
        let mut all_known: Option<Reg> = None;
        for member in list {
            let member = self.value(member)?;
            let known = self.both(input.valid, member.valid);
            let equal = self.compare(BinaryOp::Eq, input.reg, member.reg);
            let equal = known.map_or(equal, |known| self.builder.and(known, equal));
            found = self.builder.or(found, equal);
            all_known = self.both(all_known, known);
            let goes_on = self.builder.not(found);
            self.guard = self.both(before, Some(goes_on));
        }
        self.guard = before;
        let reg = if negated { self.builder.not(found) } else { found };
        Ok(Value { reg, valid: all_known.map(|known| self.builder.or(known, found)) })
    }
}
