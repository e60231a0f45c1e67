//! The aggregate functions by name, with their parameters.

use arrow::datatypes::DataType;
use sabot_expr::{BoundAggregate, ExprError, FunctionRegistry, type_name};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use super::catalog::{self, AggregateInfo};

/// The aggregate functions. What each takes and gives, what it does with nulls, when it fails and what its
/// partial state is stands in one table, [`AggregateFunction::info`], from which `docs/aggregates.md` is
/// made.
///
/// Stored plans hold the name in SQL and the parameters.
///
/// ```
/// # use sabot_ops::AggregateFunction;
/// assert_eq!(AggregateFunction::Avg.name(), "avg");
/// assert!(AggregateFunction::First.is_ordered());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AggregateFunction {
    /// Rows, or values that are not null.
    #[serde(alias = "Count")]
    Count,
    /// Different values that are not null.
    CountDistinct,
    /// Sum.
    #[serde(alias = "Sum")]
    Sum,
    /// Arithmetic mean.
    #[serde(alias = "Avg")]
    Avg,
    /// Smallest value.
    #[serde(alias = "Min")]
    Min,
    /// Largest value.
    #[serde(alias = "Max")]
    Max,
    /// Whether all values are true.
    BoolAnd,
    /// Whether any value is true.
    BoolOr,
    /// The value of the first row, which may be null.
    First,
    /// The value of the last row, which may be null.
    Last,
    /// Variance of a sample: squares of distances from the mean ÷ (n − 1).
    VarSamp,
    /// Variance of a population: squares of distances from the mean ÷ n.
    VarPop,
    /// Square root of [`AggregateFunction::VarSamp`].
    StddevSamp,
    /// Square root of [`AggregateFunction::VarPop`].
    StddevPop,
    /// Covariance of a sample of pairs: ÷ (n − 1).
    CovarSamp,
    /// Covariance of a population of pairs: ÷ n.
    CovarPop,
    /// Pearson's correlation coefficient of pairs.
    Corr,
    /// All values as a list, in the order of rows, nulls included.
    ArrayAgg,
    /// All strings that are not null as one, in the order of rows.
    StringAgg {
        /// What stands between two of them.
        separator: String,
    },
    /// About how many different values that are not null there are.
    ApproxCountDistinct,
    /// About the value below which a share of the values lies.
    ApproxQuantile {
        /// The share.
        quantile: Quantile,
    },
    /// A function that a user wrote.
    User(UserFunction),
}

impl AggregateFunction {
    /// Its name in SQL; a user function's own name.
    pub fn name(&self) -> &str {
        match self {
            AggregateFunction::User(function) => function.name(),
            known => known.info().name,
        }
    }

    /// What there is to know about it: its row of the table.
    pub fn info(&self) -> &'static AggregateInfo {
        catalog::info(self)
    }

    /// Whether the result depends on the order of rows. Such a function reads where rows stand, from
    /// hidden columns that are carried for it.
    pub fn is_ordered(&self) -> bool {
        use AggregateFunction as F;
        matches!(self, F::First | F::Last | F::ArrayAgg | F::StringAgg { .. })
    }

    /// Joins a user function with its code, for arguments of these types; the others need none.
    ///
    /// # Errors
    /// [`ExprError`] when there is no such function, it does not take the arguments, or it is not any
    /// more what it was when the plan was stored.
    pub fn bind(&mut self, arguments: &[DataType], functions: &FunctionRegistry) -> Result<(), ExprError> {
        match self {
            AggregateFunction::User(function) => function.bind(arguments, functions),
            _ => Ok(()),
        }
    }
}

/// The call as a user writes it, without arguments: `sum`, `string_agg` with its separator behind.
impl fmt::Display for AggregateFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AggregateFunction::User(function) => write!(f, "{} version {}", function.name, function.version),
            other => f.write_str(other.name()),
        }
    }
}

/// A user's aggregate function: its name and version, the types that it gives, and its code once it is
/// bound.
///
/// Two are equal when they name the same function. Stored plans hold all but the code.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserFunction {
    name: String,
    version: u32,
    #[serde(default)]
    signature: Option<Signature>,
    #[serde(skip)]
    code: Option<BoundAggregate>,
}

/// What a function gives for the arguments that it was bound to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    returns: TypeName,
    state: Vec<TypeName>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct TypeName(#[serde(with = "sabot_expr::types::type_serde")] DataType);

impl UserFunction {
    /// The function of this name and version, not bound yet.
    pub fn new(name: impl Into<String>, version: u32) -> Self {
        Self { name: name.into(), version, signature: None, code: None }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The code, where it is bound.
    pub fn code(&self) -> Option<&BoundAggregate> {
        self.code.as_ref()
    }

    /// The type of the result, once it is known.
    pub fn returns(&self) -> Option<&DataType> {
        self.signature.as_ref().map(|s| &s.returns.0)
    }

    /// The types of the parts of the state, once they are known.
    pub fn state(&self) -> Option<Vec<DataType>> {
        self.signature.as_ref().map(|s| s.state.iter().map(|t| t.0.clone()).collect())
    }

    fn bind(&mut self, arguments: &[DataType], functions: &FunctionRegistry) -> Result<(), ExprError> {
        let code = BoundAggregate::new(functions.get_aggregate(&self.name, self.version)?);
        let refuse = |message: String| ExprError::InvalidFunction {
            name: self.name.clone(),
            version: self.version,
            message,
        };
        let types = code.return_type(arguments).and_then(|r| Ok((r, code.state_types(arguments)?)));
        let (returns, state) = types.map_err(|e| refuse(e.message))?;
        let state = state.into_iter().map(TypeName).collect();
        let signature = Signature { returns: TypeName(returns), state };
        if let Some(stored) = self.signature.as_ref().filter(|stored| **stored != signature) {
            let list = |s: &Signature| {
                let state: Vec<String> = s.state.iter().map(|t| type_name(&t.0)).collect();
                format!("{} with state ({})", type_name(&s.returns.0), state.join(", "))
            };
            let (now, then) = (list(&signature), list(stored));
            return Err(refuse(format!("gives {now}, but gave {then} when the plan was stored")));
        }
        (self.signature, self.code) = (Some(signature), Some(code));
        Ok(())
    }
}

impl PartialEq for UserFunction {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.version) == (&other.name, other.version)
    }
}

impl Eq for UserFunction {}

impl Hash for UserFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, self.version).hash(state);
    }
}

impl fmt::Debug for UserFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.code.is_some() { "" } else { " (unbound)" };
        write!(f, "{} version {}{state}", self.name, self.version)
    }
}

/// Which share of the values lies below a quantile: 0.5 for the median. A spec with anything but a share from
/// 0 to 1 is refused.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Quantile(pub f64);

impl Quantile {
    /// Whether it is a share from 0 to 1, both included.
    ///
    /// ```
    /// use sabot_ops::Quantile;
    /// assert!(Quantile(0.5).is_share() && !Quantile(1.5).is_share() && !Quantile(f64::NAN).is_share());
    /// ```
    pub fn is_share(self) -> bool {
        (0.0..=1.0).contains(&self.0)
    }
}

impl PartialEq for Quantile {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Quantile {}

impl Hash for Quantile {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl fmt::Display for Quantile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// As text, because formats such as JSON do not promise to keep every bit of a number.
impl From<Quantile> for String {
    fn from(quantile: Quantile) -> Self {
        quantile.0.to_string()
    }
}

impl TryFrom<String> for Quantile {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        f64::from_str(&text).map(Quantile).map_err(|_| format!("\"{text}\" is no number"))
    }
}
