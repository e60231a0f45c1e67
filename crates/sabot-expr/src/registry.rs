//! User functions by name and version.
//!
//! A plan is data and must mean the same when it is loaded again, so an expression names a function
//! and its version and never holds code. The registry joins the two when a plan is resolved or loaded;
//! a changed function is a new version beside the old one.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::aggregate::UserAggregate;
use crate::error::ExprError;

/// A function of whole batches, written by a user.
///
/// It is given one array per argument, all of the same length, with nulls as they are; a dictionary of
/// strings arrives decoded. It returns one array of that length and of the type that `return_type`
/// gave. Row `i` of the result may depend on row `i` of the arguments only, because rows are cut into
/// batches at will.
///
/// ```
/// # use arrow::array::{ArrayRef, AsArray, StringArray};
/// # use arrow::datatypes::DataType;
/// # use sabot_expr::{FunctionError, ScalarFunction};
/// # use std::sync::Arc;
/// struct Shout;
///
/// impl ScalarFunction for Shout {
///     fn name(&self) -> &str { "shout" }
///     fn version(&self) -> u32 { 1 }
///     fn return_type(&self, arguments: &[DataType]) -> Result<DataType, FunctionError> {
///         match arguments {
///             [DataType::Utf8] => Ok(DataType::Utf8),
///             _ => Err(FunctionError::new("shout takes one string")),
///         }
///     }
///     fn evaluate(&self, arguments: &[ArrayRef], _rows: usize) -> Result<ArrayRef, FunctionError> {
///         let texts = arguments[0].as_string::<i32>().iter();
///         Ok(Arc::new(texts.map(|text| text.map(str::to_uppercase)).collect::<StringArray>()))
///     }
///     fn fallible(&self) -> bool { false }
/// }
///
/// let said: ArrayRef = Arc::new(StringArray::from(vec![Some("hey"), None]));
/// assert_eq!(Shout.evaluate(&[said], 2)?.as_string::<i32>().value(0), "HEY");
/// assert!(Shout.deterministic());
/// # Ok::<(), FunctionError>(())
/// ```
pub trait ScalarFunction: Send + Sync {
    /// The name that expressions call it by.
    fn name(&self) -> &str;

    /// The version; a function that gives other results than before is a new version.
    fn version(&self) -> u32;

    /// The type of the result for arguments of these types.
    ///
    /// # Errors
    /// When the function does not take these types; the message says what it takes.
    fn return_type(&self, arguments: &[DataType]) -> Result<DataType, FunctionError>;

    /// Computes `rows` rows. `rows` matters for functions without arguments.
    ///
    /// # Errors
    /// When a row cannot be computed; [`FunctionError::at_row`] names it.
    fn evaluate(&self, arguments: &[ArrayRef], rows: usize) -> Result<ArrayRef, FunctionError>;

    /// Whether `evaluate` may return an error. A function that never does can be computed for rows
    /// that a filter drops, which is faster.
    fn fallible(&self) -> bool {
        true
    }

    /// Whether equal arguments always give equal results.
    fn deterministic(&self) -> bool {
        true
    }

    /// What computes it on GPUs, if something does; see [`DeviceBody`]. It is asked for functions that never fail and are
    /// deterministic.
    ///
    /// ```
    /// # use arrow::datatypes::DataType;
    /// # use sabot_expr::{ClosureFunction, ScalarFunction};
    /// let same = ClosureFunction::new("same", 1, [DataType::Int64], DataType::Int64, |args, _rows| Ok(args[0].clone()));
    /// assert_eq!(same.device_body(), None);
    /// ```
    fn device_body(&self) -> Option<DeviceBody> {
        None
    }
}

/// A function as GPUs compute it: the statements of a function of numbers, truth values and times, in two languages.
///
/// Arguments are called `a0`, `a1` and so on, three at most; integers and floats have the widths of their types, times are
/// integers, and the statements return a value of the result's type, which has 32 or 64 bits or is a bool. It is called for one row in
/// which no argument is null; where one is, the result is null, and so it has to be in [`ScalarFunction::evaluate`]. It may
/// be called with any values, also those of rows that are filtered away, so nothing in it may trap: no division of integers by
/// what may be zero.
///
/// ```
/// # use sabot_expr::DeviceBody;
/// let half_or_triple = DeviceBody {
///     cuda: "return a0 % 2 == 0 ? a0 / 2 : a0;".to_owned(),
///     wgsl: "if (a0 % 2li == 0li) { return a0 / 2li; } return a0;".to_owned(),
/// };
/// assert!(half_or_triple.wgsl.contains("2li"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceBody {
    /// In CUDA C++.
    pub cuda: String,
    /// In WGSL.
    pub wgsl: String,
}

/// What a user function reports when it cannot compute its result.
///
/// ```
/// # use sabot_expr::FunctionError;
/// assert_eq!(FunctionError::new("no such zone").to_string(), "no such zone");
/// assert_eq!(FunctionError::at_row(3, "no such zone").row, Some(3));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FunctionError {
    /// What went wrong.
    pub message: String,
    /// The row of the arguments that caused it, from 0, where the function knows it.
    pub row: Option<usize>,
}

impl FunctionError {
    /// An error of the whole batch.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), row: None }
    }

    /// An error of one row of the arguments.
    pub fn at_row(row: usize, message: impl Into<String>) -> Self {
        Self { message: message.into(), row: Some(row) }
    }
}

type Evaluate = dyn Fn(&[ArrayRef], usize) -> Result<ArrayRef, FunctionError> + Send + Sync;

/// A [`ScalarFunction`] made of a closure, with fixed argument and result types.
///
/// ```
/// # use arrow::array::ArrayRef;
/// # use arrow::datatypes::DataType;
/// # use sabot_expr::{ClosureFunction, ScalarFunction};
/// let same = ClosureFunction::new("same", 1, [DataType::Int64], DataType::Int64, |arguments, _rows| {
///     Ok(arguments[0].clone())
/// });
/// assert!(same.fallible());
/// assert!(!same.infallible().fallible());
/// ```
pub struct ClosureFunction {
    name: String,
    version: u32,
    arguments: Vec<DataType>,
    returns: DataType,
    fallible: bool,
    body: Option<DeviceBody>,
    evaluate: Box<Evaluate>,
}

impl ClosureFunction {
    /// A function of this name and version that takes exactly these argument types.
    pub fn new(
        name: impl Into<String>,
        version: u32,
        arguments: impl Into<Vec<DataType>>,
        returns: DataType,
        evaluate: impl Fn(&[ArrayRef], usize) -> Result<ArrayRef, FunctionError> + Send + Sync + 'static,
    ) -> Self {
        let (name, arguments, evaluate) = (name.into(), arguments.into(), Box::new(evaluate));
        Self { name, version, arguments, returns, fallible: true, body: None, evaluate }
    }

    /// Promises that the closure never returns an error.
    #[must_use]
    pub fn infallible(mut self) -> Self {
        self.fallible = false;
        self
    }

    /// Also computes it on GPUs, by statements in CUDA C++ and in WGSL: see [`DeviceBody`]. It never returns an error.
    ///
    /// ```
    /// # use sabot_expr::{ClosureFunction, ScalarFunction};
    /// # use arrow::datatypes::DataType;
    /// let same = ClosureFunction::new("same", 1, [DataType::Int64], DataType::Int64, |args, _rows| Ok(args[0].clone()));
    /// let same = same.on_devices("return a0;", "return a0;");
    /// assert!(!same.fallible() && same.device_body().is_some());
    /// ```
    #[must_use]
    pub fn on_devices(mut self, cuda: impl Into<String>, wgsl: impl Into<String>) -> Self {
        self.body = Some(DeviceBody { cuda: cuda.into(), wgsl: wgsl.into() });
        self.infallible()
    }
}

impl ScalarFunction for ClosureFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType, FunctionError> {
        if arguments == self.arguments {
            return Ok(self.returns.clone());
        }
        let names =
            |types: &[DataType]| types.iter().map(crate::types::type_name).collect::<Vec<_>>().join(", ");
        Err(FunctionError::new(format!("takes ({}), got ({})", names(&self.arguments), names(arguments))))
    }

    fn evaluate(&self, arguments: &[ArrayRef], rows: usize) -> Result<ArrayRef, FunctionError> {
        (self.evaluate)(arguments, rows)
    }

    fn fallible(&self) -> bool {
        self.fallible
    }

    fn device_body(&self) -> Option<DeviceBody> {
        self.body.clone()
    }
}

/// The user functions that expressions may call. Cloning shares the functions.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, AsArray, Int64Array};
/// use arrow::datatypes::{DataType, Int64Type};
/// use sabot_expr::{ClosureFunction, FunctionRegistry};
///
/// let double = ClosureFunction::new("double", 1, [DataType::Int64], DataType::Int64, |args, _rows| {
///     let doubled: Int64Array = args[0].as_primitive::<Int64Type>().iter().map(|v| v.map(|v| v.wrapping_mul(2))).collect();
///     Ok(Arc::new(doubled) as ArrayRef)
/// });
/// let mut registry = FunctionRegistry::new();
/// registry.register(Arc::new(double))?;
/// assert!(registry.get("double", 1).is_ok());
/// let message = registry.get("duoble", 1).err().map(|e| e.to_string());
/// assert_eq!(message.as_deref(), Some("unknown function duoble version 1; did you mean double version 1? functions: double version 1"));
/// # Ok::<(), sabot_expr::ExprError>(())
/// ```
#[derive(Clone, Default)]
pub struct FunctionRegistry {
    functions: Versions<dyn ScalarFunction>,
    aggregates: Versions<dyn UserAggregate>,
}

/// Functions of one kind, by name and version.
struct Versions<F: ?Sized>(BTreeMap<String, BTreeMap<u32, Arc<F>>>);

impl FunctionRegistry {
    /// A registry without functions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a function.
    ///
    /// # Errors
    /// [`ExprError::InvalidFunction`] when this name and version is taken, or the name is empty.
    pub fn register(&mut self, function: Arc<dyn ScalarFunction>) -> Result<(), ExprError> {
        self.functions.register(function.name().to_owned(), function.version(), function)
    }

    /// The function of this name and version.
    ///
    /// # Errors
    /// [`ExprError::UnknownFunction`] with the near miss: another version of the name, or a similar name.
    pub fn get(&self, name: &str, version: u32) -> Result<Arc<dyn ScalarFunction>, ExprError> {
        self.functions.get(name, version)
    }

    /// Adds an aggregate function. Names of aggregate functions are apart from those of others.
    ///
    /// # Errors
    /// As [`FunctionRegistry::register`].
    ///
    /// ```
    /// # use arrow::array::{Array, ArrayRef};
    /// # use arrow::datatypes::DataType;
    /// # use sabot_expr::{FunctionError, FunctionRegistry, Scalar, UserAggregate, UserState};
    /// # use std::sync::Arc;
    /// /// How many rows there are.
    /// #[derive(Clone, Debug)]
    /// struct Rows(i64);
    /// # impl UserAggregate for Rows {
    /// #     fn name(&self) -> &str { "rows" }
    /// #     fn version(&self) -> u32 { 1 }
    /// #     fn return_type(&self, _: &[DataType]) -> Result<DataType, FunctionError> { Ok(DataType::Int64) }
    /// #     fn state_types(&self, _: &[DataType]) -> Result<Vec<DataType>, FunctionError> { Ok(vec![DataType::Int64]) }
    /// #     fn start(&self, _: &[DataType]) -> Box<dyn UserState> { Box::new(self.clone()) }
    /// # }
    /// # impl UserState for Rows {
    /// #     fn accumulate(&mut self, a: &[ArrayRef]) -> Result<(), FunctionError> { self.0 += a[0].len() as i64; Ok(()) }
    /// #     fn merge(&mut self, _: &[ArrayRef]) -> Result<(), FunctionError> { Ok(()) }
    /// #     fn snapshot(&self) -> Result<Vec<Scalar>, FunctionError> { Ok(vec![self.0.into()]) }
    /// #     fn result(&self) -> Result<Scalar, FunctionError> { Ok(self.0.into()) }
    /// # }
    /// let mut functions = FunctionRegistry::new();
    /// functions.register_aggregate(Arc::new(Rows(0)))?;
    /// assert!(functions.get_aggregate("rows", 1).is_ok());
    /// let twice = functions.register_aggregate(Arc::new(Rows(0))).unwrap_err();
    /// assert!(twice.to_string().ends_with("already registered; a changed function needs a new version"));
    /// # Ok::<(), sabot_expr::ExprError>(())
    /// ```
    pub fn register_aggregate(&mut self, function: Arc<dyn UserAggregate>) -> Result<(), ExprError> {
        self.aggregates.register(function.name().to_owned(), function.version(), function)
    }

    /// The aggregate function of this name and version.
    ///
    /// # Errors
    /// As [`FunctionRegistry::get`].
    ///
    /// ```
    /// # use sabot_expr::FunctionRegistry;
    /// let missing = FunctionRegistry::new().get_aggregate("product", 1).err().map(|e| e.to_string());
    /// assert!(missing.is_some_and(|text| text.starts_with("unknown function product version 1")));
    /// ```
    pub fn get_aggregate(&self, name: &str, version: u32) -> Result<Arc<dyn UserAggregate>, ExprError> {
        self.aggregates.get(name, version)
    }

    /// Names and versions of the scalar functions in order.
    ///
    /// ```
    /// # use arrow::datatypes::DataType;
    /// # use sabot_expr::{ClosureFunction, FunctionRegistry};
    /// # use std::sync::Arc;
    /// let mut registry = FunctionRegistry::new();
    /// let same = |version| ClosureFunction::new("same", version, [DataType::Int64], DataType::Int64, |a, _| Ok(a[0].clone()));
    /// registry.register(Arc::new(same(2)))?;
    /// registry.register(Arc::new(same(1)))?;
    /// assert_eq!(registry.names().collect::<Vec<_>>(), [("same", 1), ("same", 2)]);
    /// # Ok::<(), sabot_expr::ExprError>(())
    /// ```
    pub fn names(&self) -> impl Iterator<Item = (&str, u32)> {
        self.functions.names()
    }
}

impl<F: ?Sized> Versions<F> {
    fn register(&mut self, name: String, version: u32, function: Arc<F>) -> Result<(), ExprError> {
        let refuse = |message: &str| {
            Err(ExprError::InvalidFunction { name: name.clone(), version, message: message.to_owned() })
        };
        if name.is_empty() {
            return refuse("the name is empty");
        }
        let versions = self.0.entry(name.clone()).or_default();
        if versions.contains_key(&version) {
            return refuse("already registered; a changed function needs a new version");
        }
        versions.insert(version, function);
        Ok(())
    }

    fn get(&self, name: &str, version: u32) -> Result<Arc<F>, ExprError> {
        if let Some(found) = self.0.get(name).and_then(|versions| versions.get(&version)) {
            return Ok(Arc::clone(found));
        }
        let near = sabot_common::did_you_mean(name, self.0.keys().map(String::as_str));
        let suggestion = near.and_then(|near| {
            let versions = self.0.get(near)?;
            let nearest = versions
                .contains_key(&version)
                .then_some(version)
                .or(versions.keys().next_back().copied())?;
            Some(format!("{near} version {nearest}"))
        });
        let all: Vec<String> =
            self.names().map(|(name, version)| format!("{name} version {version}")).collect();
        Err(ExprError::UnknownFunction {
            name: name.to_owned(),
            version,
            suggestion,
            functions: sabot_common::list_names(all.iter().map(String::as_str)),
        })
    }

    fn names(&self) -> impl Iterator<Item = (&str, u32)> {
        self.0.iter().flat_map(|(name, versions)| versions.keys().map(move |v| (name.as_str(), *v)))
    }
}

impl<F: ?Sized> Clone for Versions<F> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<F: ?Sized> Default for Versions<F> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl fmt::Debug for FunctionRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names().chain(self.aggregates.names())).finish()
    }
}
