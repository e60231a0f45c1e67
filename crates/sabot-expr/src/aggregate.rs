//! Aggregate functions that users write.
//!
//! As with scalar functions, a plan names a function and its version, and the registry knows the code. What
//! a function knows of the rows of one group is a [`UserState`]. The engine makes one for each group of a
//! morsel, takes its snapshot, sends that to the owner of the group and merges it there; snapshots are also
//! what checkpoints hold. So results must not depend on which rows came together first: **merging is
//! associative and commutative**, and a merge of snapshots gives what accumulating all rows would have.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use std::fmt;
use std::sync::Arc;

use crate::registry::FunctionError;
use crate::scalar::Scalar;
use crate::types::type_name;

/// An aggregate function, written by a user.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, AsArray};
/// use arrow::datatypes::{DataType, Float64Type};
/// use sabot_expr::{FunctionError, FunctionRegistry, Scalar, UserAggregate, UserState};
///
/// /// The product of the values that are not null; 1 without any.
/// struct Product;
///
/// #[derive(Debug)]
/// struct Running(f64);
///
/// impl UserAggregate for Product {
///     fn name(&self) -> &str { "product" }
///     fn version(&self) -> u32 { 1 }
///     fn return_type(&self, arguments: &[DataType]) -> Result<DataType, FunctionError> {
///         match arguments {
///             [DataType::Float64] => Ok(DataType::Float64),
///             _ => Err(FunctionError::new("takes one float64")),
///         }
///     }
///     fn state_types(&self, _arguments: &[DataType]) -> Result<Vec<DataType>, FunctionError> {
///         Ok(vec![DataType::Float64])
///     }
///     fn start(&self, _arguments: &[DataType]) -> Box<dyn UserState> { Box::new(Running(1.0)) }
/// }
///
/// impl UserState for Running {
///     fn accumulate(&mut self, arguments: &[ArrayRef]) -> Result<(), FunctionError> {
///         let values = arguments[0].as_primitive::<Float64Type>();
///         self.0 = values.iter().flatten().fold(self.0, |product, value| product * value);
///         Ok(())
///     }
///     fn merge(&mut self, state: &[ArrayRef]) -> Result<(), FunctionError> { self.accumulate(state) }
///     fn snapshot(&self) -> Result<Vec<Scalar>, FunctionError> { Ok(vec![self.0.into()]) }
///     fn result(&self) -> Result<Scalar, FunctionError> { Ok(self.0.into()) }
/// }
///
/// let mut functions = FunctionRegistry::new();
/// functions.register_aggregate(Arc::new(Product))?;
/// assert!(functions.get_aggregate("product", 1).is_ok());
/// # Ok::<(), sabot_expr::ExprError>(())
/// ```
pub trait UserAggregate: Send + Sync {
    /// The name that it is called by.
    fn name(&self) -> &str;

    /// The version; a function that gives other results, or keeps other state, is a new version.
    fn version(&self) -> u32;

    /// The type of the result for arguments of these types. The result may be null.
    ///
    /// # Errors
    /// When the function does not take these types; the message says what it takes.
    fn return_type(&self, arguments: &[DataType]) -> Result<DataType, FunctionError>;

    /// The types of what [`UserState::snapshot`] gives. Each may be null.
    ///
    /// # Errors
    /// When the function does not take arguments of these types.
    fn state_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>, FunctionError>;

    /// What is known of no rows.
    fn start(&self, arguments: &[DataType]) -> Box<dyn UserState>;
}

/// What a user's aggregate function knows of the rows of one group.
///
/// ```
/// # use arrow::array::{ArrayRef, AsArray, Int64Array};
/// # use arrow::datatypes::{DataType, Int64Type};
/// # use sabot_expr::{FunctionError, Scalar, UserState};
/// # use std::sync::Arc;
/// /// All bits that some value has.
/// #[derive(Debug, Default)]
/// struct Bits(i64);
///
/// impl UserState for Bits {
///     fn accumulate(&mut self, arguments: &[ArrayRef]) -> Result<(), FunctionError> {
///         self.0 = arguments[0].as_primitive::<Int64Type>().iter().flatten().fold(self.0, |bits, x| bits | x);
///         Ok(())
///     }
///     fn merge(&mut self, state: &[ArrayRef]) -> Result<(), FunctionError> { self.accumulate(state) }
///     fn snapshot(&self) -> Result<Vec<Scalar>, FunctionError> { Ok(vec![self.0.into()]) }
///     fn result(&self) -> Result<Scalar, FunctionError> { Ok(self.0.into()) }
///     fn bytes(&self) -> usize { size_of::<Bits>() }
/// }
///
/// let mut bits = Bits::default();
/// bits.accumulate(&[Arc::new(Int64Array::from(vec![Some(1), None, Some(4)]))])?;
/// assert_eq!(bits.result()?, Scalar::Int64(5));
/// # Ok::<(), FunctionError>(())
/// ```
pub trait UserState: Send + Sync + fmt::Debug {
    /// Takes in rows of the group, as one array for each argument, nulls as they are; a dictionary arrives
    /// decoded. Rows come in any order.
    ///
    /// # Errors
    /// When the rows cannot be aggregated; the job then fails with the message.
    fn accumulate(&mut self, arguments: &[ArrayRef]) -> Result<(), FunctionError>;

    /// Takes in snapshots of other states of the group, as one array for each part.
    ///
    /// # Errors
    /// As [`UserState::accumulate`].
    fn merge(&mut self, state: &[ArrayRef]) -> Result<(), FunctionError>;

    /// All that is known, one value for each of [`UserAggregate::state_types`].
    ///
    /// # Errors
    /// When it cannot be written down.
    fn snapshot(&self) -> Result<Vec<Scalar>, FunctionError>;

    /// The value of the aggregate.
    ///
    /// # Errors
    /// When there is none, not even null.
    fn result(&self) -> Result<Scalar, FunctionError>;

    /// Bytes allocated, for the account of memory.
    fn bytes(&self) -> usize {
        size_of_val(self)
    }
}

/// A user's aggregate function with its code, held to its promises.
#[derive(Clone)]
pub struct BoundAggregate(Arc<dyn UserAggregate>);

impl BoundAggregate {
    /// The function with its code.
    pub fn new(function: Arc<dyn UserAggregate>) -> Self {
        Self(function)
    }

    /// The type of the result.
    ///
    /// # Errors
    /// What the function reports.
    pub fn return_type(&self, arguments: &[DataType]) -> Result<DataType, FunctionError> {
        self.0.return_type(arguments)
    }

    /// The types of the state.
    ///
    /// # Errors
    /// What the function reports.
    pub fn state_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>, FunctionError> {
        self.0.state_types(arguments)
    }

    /// What is known of no rows.
    pub fn start(&self, arguments: &[DataType]) -> Box<dyn UserState> {
        self.0.start(arguments)
    }

    /// A state's snapshot.
    ///
    /// # Errors
    /// What the state reports; also when it does not give what `types` promise.
    pub fn snapshot(&self, state: &dyn UserState, types: &[DataType]) -> Result<Vec<Scalar>, FunctionError> {
        let parts = state.snapshot()?;
        if parts.len() != types.len() {
            let message = format!("gave a snapshot of {} parts, promised {}", parts.len(), types.len());
            return Err(FunctionError::new(message));
        }
        parts.into_iter().zip(types).map(|(part, promised)| held_to(part, promised)).collect()
    }

    /// A state's result.
    ///
    /// # Errors
    /// What the state reports; also when it is not of the type promised.
    pub fn result(&self, state: &dyn UserState, promised: &DataType) -> Result<Scalar, FunctionError> {
        held_to(state.result()?, promised)
    }
}

fn held_to(value: Scalar, promised: &DataType) -> Result<Scalar, FunctionError> {
    if matches!(value, Scalar::Null(DataType::Null)) {
        return Ok(Scalar::Null(promised.clone()));
    }
    if &value.data_type() == promised {
        return Ok(value);
    }
    let (got, promised) = (type_name(&value.data_type()), type_name(promised));
    Err(FunctionError::new(format!("gave {got}, promised {promised}")))
}

impl fmt::Debug for BoundAggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} version {}", self.0.name(), self.0.version())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Promises one int64 and gives what it was made with.
    #[derive(Clone, Debug)]
    struct Given(Vec<Scalar>);

    impl UserAggregate for Given {
        fn name(&self) -> &str {
            "given"
        }
        fn version(&self) -> u32 {
            1
        }
        fn return_type(&self, _arguments: &[DataType]) -> Result<DataType, FunctionError> {
            Ok(DataType::Int64)
        }
        fn state_types(&self, _arguments: &[DataType]) -> Result<Vec<DataType>, FunctionError> {
            Ok(vec![DataType::Int64])
        }
        fn start(&self, _arguments: &[DataType]) -> Box<dyn UserState> {
            Box::new(self.clone())
        }
    }

    impl UserState for Given {
        fn accumulate(&mut self, _arguments: &[ArrayRef]) -> Result<(), FunctionError> {
            Ok(())
        }
        fn merge(&mut self, _state: &[ArrayRef]) -> Result<(), FunctionError> {
            Ok(())
        }
        fn snapshot(&self) -> Result<Vec<Scalar>, FunctionError> {
            Ok(self.0.clone())
        }
        fn result(&self) -> Result<Scalar, FunctionError> {
            Ok(self.0[0].clone())
        }
    }

    fn bound(parts: &[Scalar]) -> (BoundAggregate, Box<dyn UserState>) {
        let code = BoundAggregate::new(Arc::new(Given(parts.to_vec())));
        let state = code.start(&[]);
        (code, state)
    }

    #[test]
    fn promises_are_kept_or_broken_by_name() {
        let (code, state) = bound(&[Scalar::Int64(7)]);
        let types = code.state_types(&[]).unwrap();
        assert_eq!(code.snapshot(state.as_ref(), &types), Ok(vec![Scalar::Int64(7)]));
        assert_eq!(code.result(state.as_ref(), &DataType::Int64), Ok(Scalar::Int64(7)));
        let (code, state) = bound(&[Scalar::Null(DataType::Null)]);
        assert_eq!(code.result(state.as_ref(), &DataType::Int64), Ok(Scalar::Null(DataType::Int64)));
        let (code, state) = bound(&["7".into()]);
        let wrong = code.result(state.as_ref(), &DataType::Int64).unwrap_err();
        assert_eq!(wrong.message, "gave utf8, promised int64");
        assert_eq!(code.snapshot(state.as_ref(), &types), Err(wrong));
        let (code, state) = bound(&[Scalar::Int64(1), Scalar::Int64(2)]);
        let wrong = code.snapshot(state.as_ref(), &types).unwrap_err();
        assert_eq!(wrong.message, "gave a snapshot of 2 parts, promised 1");
    }
}
