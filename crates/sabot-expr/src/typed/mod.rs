//! The typed expression: what backends compile and the interpreter runs.
//!
//! A [`TypedExpr`] comes out of [`resolve`](crate::resolve) and nothing in it is open: every node has
//! its type and nullability, columns are indices, implicit casts are nodes, and BETWEEN and aliases are
//! written out in simpler nodes. So a backend matches on one small closed enum and never decides what
//! an expression means.
//!
//! What a backend may rely on, node by node, is said at [`TypedKind`].

mod stored;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Schema};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::error::ExprError;
use crate::expr::{BinaryOp, CastMode, Expr};
use crate::functions::Function;
use crate::registry::{DeviceBody, FunctionError, FunctionRegistry, ScalarFunction};
use crate::scalar::Scalar;
use crate::types::{check_type, is_decimal, is_integer, rules, type_name};

/// An expression with all types known.
///
/// Stored as a flat list of nodes, operands before what uses them, so that how deep an expression is
/// never meets the nesting limit of a format.
///
/// ```
/// # use arrow::datatypes::{DataType, Field, Schema};
/// # use sabot_expr::{FunctionRegistry, col, resolve};
/// let schema = Schema::new(vec![Field::new("delay", DataType::Int64, true)]);
/// let late = resolve(&col("delay").gt(15), &schema, &FunctionRegistry::new())?;
/// assert_eq!(late.data_type(), &DataType::Boolean);
/// assert!(late.nullable() && !late.can_fail());
/// assert_eq!(late.children()[0].as_column(), Some(0));
/// # Ok::<(), sabot_expr::ExprError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<stored::Node>", into = "Vec<stored::Node>")]
pub struct TypedExpr {
    kind: TypedKind,
    data_type: DataType,
    nullable: bool,
}

/// What a [`TypedExpr`] does. The set is closed: a backend matches on all of it.
///
/// Dictionaries and runs occur only as the type of a `Column` and as the input of the `Cast` that decodes it;
/// a backend that computes on dictionaries directly looks through that cast. Values of types that are not
/// [comparable](crate::types::rules::is_comparable) occur only in `Column`, `Literal`, `IsNull`, `IsNotNull`,
/// `Case`, `Coalesce` and `Call`.
#[derive(Clone, Debug, PartialEq)]
pub enum TypedKind {
    /// The column at `index`.
    Column {
        /// Index in the schema that the expression was resolved against.
        index: usize,
        /// Name in that schema, for messages.
        name: Arc<str>,
    },
    /// A value. Of the node's type.
    Literal(Scalar),
    /// An operator. Arithmetic of numbers: both operands are of the node's type; of decimals, both are decimals of
    /// the node's width, each with its own precision and scale. Arithmetic of time, where `duration` and
    /// `timestamp` have one unit: timestamp and duration, or timestamp in UTC and interval(month_day_nano), give the
    /// timestamp; two timestamps give a duration; two durations, two intervals, and one of them and an int64 give
    /// the same. Comparison: both operands are of one type. AND, OR: all boolean.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// Evaluated first.
        left: Box<TypedExpr>,
        /// Evaluated second; for AND and OR only for rows that the left operand does not decide.
        right: Box<TypedExpr>,
    },
    /// Three-valued NOT of a boolean.
    Not(Box<TypedExpr>),
    /// The number with its sign turned; never of an unsigned integer.
    Negate(Box<TypedExpr>),
    /// Whether the value is null.
    IsNull(Box<TypedExpr>),
    /// Whether the value is not null.
    IsNotNull(Box<TypedExpr>),
    /// The first branch whose condition is true. Conditions are boolean, values of the node's type.
    Case {
        /// Conditions and values; each is evaluated only for rows that reach it.
        whens: Vec<(TypedExpr, TypedExpr)>,
        /// The value when no condition is true; null when absent.
        otherwise: Option<Box<TypedExpr>>,
    },
    /// The input as the node's type, by the rules of [`cast`](crate::cast). Never to a dictionary.
    Cast {
        /// The value.
        input: Box<TypedExpr>,
        /// What happens to a value that the type does not have.
        mode: CastMode,
    },
    /// The first value that is not null; later ones are evaluated only for rows that reach them. All
    /// of the node's type.
    Coalesce(Vec<TypedExpr>),
    /// Whether the input equals a member of the list. All of one type; members are evaluated in order
    /// and only for rows that no earlier member equals.
    InList {
        /// The value.
        input: Box<TypedExpr>,
        /// The list, never empty.
        list: Vec<TypedExpr>,
        /// NOT IN.
        negated: bool,
    },
    /// LIKE of two strings, which may be utf8 and large_utf8.
    Like {
        /// The string.
        input: Box<TypedExpr>,
        /// The pattern.
        pattern: Box<TypedExpr>,
        /// NOT LIKE.
        negated: bool,
        /// ILIKE.
        insensitive: bool,
        /// The escape character.
        escape: char,
    },
    /// A built-in function. The arguments are what its [`Entry`](crate::functions::Entry) takes.
    Function {
        /// The function.
        function: Function,
        /// The arguments, all of which are evaluated, in order.
        args: Vec<TypedExpr>,
    },
    /// A user function.
    Call {
        /// The function.
        function: BoundFunction,
        /// The arguments.
        args: Vec<TypedExpr>,
    },
}

/// A user function in a typed expression: its name and version, and its code once it is bound.
///
/// Stored plans hold the name, the version and the two promises; after loading
/// [`TypedExpr::bind`] looks the code up again.
#[derive(Clone, Serialize, Deserialize)]
pub struct BoundFunction {
    name: String,
    version: u32,
    fallible: bool,
    deterministic: bool,
    #[serde(skip)]
    function: Option<Arc<dyn ScalarFunction>>,
}

impl BoundFunction {
    /// The function with its code.
    pub fn new(function: Arc<dyn ScalarFunction>) -> Self {
        Self {
            name: function.name().to_owned(),
            version: function.version(),
            fallible: function.fallible(),
            deterministic: function.deterministic(),
            function: Some(function),
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Whether the function may report errors.
    pub fn fallible(&self) -> bool {
        self.fallible
    }

    /// Whether equal arguments always give equal results.
    pub fn deterministic(&self) -> bool {
        self.deterministic
    }

    /// What computes it on GPUs: of a function that never fails, is deterministic, and has something of the kind.
    pub fn device_body(&self) -> Option<DeviceBody> {
        let function = self.function.as_ref().filter(|_| !self.fallible && self.deterministic)?;
        function.device_body()
    }

    /// Runs the function and checks that it keeps its promises: `rows` rows of type `returns`.
    ///
    /// # Errors
    /// What the function reports; also when it is not bound, or breaks a promise.
    pub fn evaluate(
        &self,
        args: &[ArrayRef],
        rows: usize,
        returns: &DataType,
    ) -> Result<ArrayRef, FunctionError> {
        let Some(function) = &self.function else {
            return Err(FunctionError::new(format!(
                "version {} is not bound; bind the plan to a function registry before it runs",
                self.version
            )));
        };
        let result = function.evaluate(args, rows)?;
        if result.data_type() != returns || result.len() != rows {
            return Err(FunctionError::new(format!(
                "returned {} rows of {}, promised {rows} rows of {}",
                result.len(),
                type_name(result.data_type()),
                type_name(returns)
            )));
        }
        Ok(result)
    }
}

/// Two are equal when they name the same function.
impl PartialEq for BoundFunction {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.version) == (&other.name, other.version)
    }
}

impl fmt::Debug for BoundFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.function.is_some() { "" } else { " (unbound)" };
        write!(f, "{} version {}{state}", self.name, self.version)
    }
}

impl TypedExpr {
    /// A node whose kind, type and nullability the caller has checked.
    pub(crate) fn new(kind: TypedKind, data_type: DataType, nullable: bool) -> Self {
        Self { kind, data_type, nullable }
    }

    /// The column at `index`.
    ///
    /// # Errors
    /// [`ExprError::UnknownColumn`] beyond the last column, [`ExprError::UnsupportedType`] for its type.
    pub fn column(index: usize, schema: &Schema) -> Result<Self, ExprError> {
        let Some(field) = schema.fields().get(index) else {
            let names = schema.fields().iter().map(|f| f.name().as_str());
            return Err(ExprError::unknown_column(&format!("#{index}"), names));
        };
        check_type(field.data_type())?;
        let kind = TypedKind::Column { index, name: field.name().as_str().into() };
        Ok(Self::new(kind, field.data_type().clone(), field.is_nullable()))
    }

    /// A value.
    pub fn literal(value: Scalar) -> Self {
        let (data_type, nullable) = (value.data_type(), value.is_null());
        Self::new(TypedKind::Literal(value), data_type, nullable)
    }

    /// What the node does.
    pub fn kind(&self) -> &TypedKind {
        &self.kind
    }

    /// The type of the value.
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Whether the value can be null.
    pub fn nullable(&self) -> bool {
        self.nullable
    }

    /// The value of a literal.
    pub fn as_literal(&self) -> Option<&Scalar> {
        match &self.kind {
            TypedKind::Literal(value) => Some(value),
            _ => None,
        }
    }

    /// The index of a column.
    pub fn as_column(&self) -> Option<usize> {
        match &self.kind {
            TypedKind::Column { index, .. } => Some(*index),
            _ => None,
        }
    }

    /// The operands, in the order in which they are evaluated.
    pub fn children(&self) -> Vec<&TypedExpr> {
        match &self.kind {
            TypedKind::Column { .. } | TypedKind::Literal(_) => Vec::new(),
            TypedKind::Binary { left, right, .. } => vec![left, right],
            TypedKind::Not(input)
            | TypedKind::Negate(input)
            | TypedKind::IsNull(input)
            | TypedKind::IsNotNull(input)
            | TypedKind::Cast { input, .. } => vec![input],
            TypedKind::Case { whens, otherwise } => {
                whens.iter().flat_map(|(when, then)| [when, then]).chain(otherwise.as_deref()).collect()
            }
            TypedKind::Coalesce(args) | TypedKind::Function { args, .. } | TypedKind::Call { args, .. } => {
                args.iter().collect()
            }
            TypedKind::InList { input, list, .. } => std::iter::once(&**input).chain(list).collect(),
            TypedKind::Like { input, pattern, .. } => vec![input, pattern],
        }
    }

    fn children_mut(&mut self) -> Vec<&mut TypedExpr> {
        match &mut self.kind {
            TypedKind::Column { .. } | TypedKind::Literal(_) => Vec::new(),
            TypedKind::Binary { left, right, .. } => vec![left, right],
            TypedKind::Not(input)
            | TypedKind::Negate(input)
            | TypedKind::IsNull(input)
            | TypedKind::IsNotNull(input)
            | TypedKind::Cast { input, .. } => vec![input],
            TypedKind::Case { whens, otherwise } => whens
                .iter_mut()
                .flat_map(|(when, then)| [when, then])
                .chain(otherwise.as_deref_mut())
                .collect(),
            TypedKind::Coalesce(args) | TypedKind::Function { args, .. } | TypedKind::Call { args, .. } => {
                args.iter_mut().collect()
            }
            TypedKind::InList { input, list, .. } => std::iter::once(&mut **input).chain(list).collect(),
            TypedKind::Like { input, pattern, .. } => vec![input, pattern],
        }
    }

    /// Whether evaluation can give a row error, here or in an operand.
    ///
    /// An expression that cannot fail may be computed for rows that never reach it, under a mask.
    pub fn can_fail(&self) -> bool {
        self.node_can_fail() || self.children().into_iter().any(TypedExpr::can_fail)
    }

    /// Whether this node itself can give a row error, its operands left aside.
    pub fn node_can_fail(&self) -> bool {
        match &self.kind {
            TypedKind::Binary { op, right, .. } if is_integer(&self.data_type) => match op {
                BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul => true,
                // A divisor that is known to be neither 0 nor −1 has a result for every dividend.
                BinaryOp::Div | BinaryOp::Mod => {
                    right.as_literal().is_none_or(|value| matches!(value.as_integer(), Some(0 | -1)))
                }
                _ => false,
            },
            TypedKind::Binary { op, left, right } if op.is_arithmetic() => match &self.data_type {
                DataType::Float32 | DataType::Float64 => false,
                decimal if is_decimal(decimal) => {
                    !crate::decimal::never_overflows(*op, &left.data_type, &right.data_type)
                }
                _ => true,
            },
            TypedKind::Negate(_)
                if matches!(self.data_type, DataType::Duration(_) | DataType::Interval(_)) =>
            {
                true
            }
            TypedKind::Negate(_) => crate::types::is_signed_integer(&self.data_type),
            TypedKind::Cast { input, mode: CastMode::Strict } => {
                !rules::cast_is_total(&input.data_type, &self.data_type)
            }
            TypedKind::Function { function, args } => (function.entry().errors.possible)(args),
            TypedKind::Call { function, .. } => function.fallible,
            _ => false,
        }
    }

    /// Whether equal rows always give equal values. Only user functions can say otherwise.
    pub fn is_deterministic(&self) -> bool {
        let here = match &self.kind {
            TypedKind::Call { function, .. } => function.deterministic,
            _ => true,
        };
        here && self.children().into_iter().all(TypedExpr::is_deterministic)
    }

    /// Levels of nesting: 1 for a column or literal.
    pub fn depth(&self) -> usize {
        1 + self.children().into_iter().map(TypedExpr::depth).max().unwrap_or(0)
    }

    /// The number of nodes, this one included.
    pub fn nodes(&self) -> usize {
        1 + self.children().into_iter().map(TypedExpr::nodes).sum::<usize>()
    }

    /// Indices of the columns that the expression reads.
    pub fn columns(&self) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut open = vec![self];
        while let Some(expr) = open.pop() {
            found.extend(expr.as_column());
            open.extend(expr.children());
        }
        found
    }

    /// The expression with every column index replaced: for inputs whose columns were moved or dropped.
    #[must_use]
    pub fn map_columns(mut self, map: &impl Fn(usize) -> usize) -> Self {
        if let TypedKind::Column { index, .. } = &mut self.kind {
            *index = map(*index);
        }
        for child in self.children_mut() {
            let taken = std::mem::replace(child, TypedExpr::literal(Scalar::Boolean(false)));
            *child = taken.map_columns(map);
        }
        self
    }

    /// Looks up the code of every user function: after loading a stored plan.
    ///
    /// # Errors
    /// [`ExprError::UnknownFunction`] for one that is not registered, [`ExprError::InvalidFunction`] for
    /// one whose result type or promises are no longer those that the plan was built with.
    pub fn bind(&mut self, registry: &FunctionRegistry) -> Result<(), ExprError> {
        for child in self.children_mut() {
            child.bind(registry)?;
        }
        let TypedKind::Call { function, args } = &mut self.kind else { return Ok(()) };
        let found = registry.get(&function.name, function.version)?;
        let changed = |message: String| {
            let (name, version) = (found.name().to_owned(), found.version());
            Err(ExprError::InvalidFunction { name, version, message })
        };
        let types: Vec<DataType> = args.iter().map(|arg| arg.data_type.clone()).collect();
        match found.return_type(&types) {
            Ok(returns) if returns == self.data_type => {}
            Ok(returns) => {
                let (now, then) = (type_name(&returns), type_name(&self.data_type));
                return changed(format!("returns {now}; the plan was built when it returned {then}"));
            }
            Err(error) => return changed(error.message),
        }
        if (found.fallible(), found.deterministic()) != (function.fallible, function.deterministic) {
            return changed(
                "is no longer as fallible or deterministic as when the plan was built".to_owned(),
            );
        }
        function.function = Some(found);
        Ok(())
    }

    /// The expression as a user could have written it, with all casts spelt out.
    pub fn to_expr(&self) -> Expr {
        let boxed = |expr: &TypedExpr| Box::new(expr.to_expr());
        let all = |exprs: &[TypedExpr]| exprs.iter().map(TypedExpr::to_expr).collect();
        match &self.kind {
            TypedKind::Column { name, .. } => Expr::Column(name.to_string()),
            TypedKind::Literal(value) => Expr::Literal(value.clone()),
            TypedKind::Binary { op, left, right } => {
                Expr::Binary { op: *op, left: boxed(left), right: boxed(right) }
            }
            TypedKind::Not(input) => Expr::Not(boxed(input)),
            TypedKind::Negate(input) => Expr::Negate(boxed(input)),
            TypedKind::IsNull(input) => Expr::IsNull(boxed(input)),
            TypedKind::IsNotNull(input) => Expr::IsNotNull(boxed(input)),
            TypedKind::Case { whens, otherwise } => Expr::Case {
                whens: whens.iter().map(|(when, then)| (when.to_expr(), then.to_expr())).collect(),
                otherwise: otherwise.as_deref().map(boxed),
            },
            TypedKind::Cast { input, mode } => {
                Expr::Cast { expr: boxed(input), to: self.data_type.clone(), mode: *mode }
            }
            TypedKind::Coalesce(args) => Expr::Coalesce(all(args)),
            TypedKind::InList { input, list, negated } => {
                Expr::InList { expr: boxed(input), list: all(list), negated: *negated }
            }
            TypedKind::Like { input, pattern, negated, insensitive, escape } => Expr::Like {
                expr: boxed(input),
                pattern: boxed(pattern),
                negated: *negated,
                insensitive: *insensitive,
                escape: *escape,
            },
            TypedKind::Function { function, args } => {
                Expr::Function { name: function.name().to_owned(), args: all(args) }
            }
            TypedKind::Call { function, args } => {
                Expr::Call { name: function.name.clone(), version: function.version, args: all(args) }
            }
        }
    }
}

impl fmt::Display for TypedExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_expr().fmt(f)
    }
}
