//! The built-in functions, as data: a closed table of what each takes, gives and refuses.
//!
//! A function is one row ([`Entry`]) of its family's table, one interpretation in
//! [`interpret`](crate::interpret()), and one vectorised form in each backend. All that is said of it
//! elsewhere follows from the row: what the resolver accepts, whether the result can be null, whether a
//! row can fail, how far a backend may be off, the page `docs/functions.md`, and the examples, which are
//! run. In a typed expression every function is the same kind of node, so a new one adds no node.
//!
//! What holds for all of them:
//!
//! - They are deterministic: no clock, no random numbers, no state.
//! - All arguments are evaluated, from left to right, also when one is null.
//! - Strings are sequences of characters, which are Unicode scalar values: `length('é')` is 1, whatever
//!   the number of bytes. A base letter and a combining accent are two characters.
//! - Floats follow IEEE 754 in their own width and never fail: the logarithm of a negative number is NaN.

mod bits;
mod entry;
mod general;
mod math;
mod nested;
mod pattern;
mod text;
mod time;

pub use bits::BitsFunction;
pub use entry::{Entry, Errors, Need, Nulls, Parameter, Returns, Takes};
pub use general::GeneralFunction;
pub use general::HASH_SEED;
pub use math::MathFunction;
pub use math::{round_integer, round_to_digits};
pub use nested::NestedFunction;
pub use pattern::PatternFunction;
pub use pattern::{RegexPattern, Replacement};
pub use text::{TextFunction, is_space, lower as text_lower, upper as text_upper};
pub use time::TimeFunction;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

use crate::error::ExprError;

/// Bytes that one string made by a function may have; a longer one is an error of its row. A function
/// like `repeat` makes much of little, and one row must not take the memory of all others.
pub const TEXT_BYTES_MAX: usize = 1 << 24;

/// A built-in function.
///
/// ```
/// use sabot_expr::functions::Function;
/// let lower = Function::from_name("lower")?;
/// assert_eq!(lower.entry().parameters.len(), 1);
/// let typo = Function::from_name("lowr").unwrap_err().to_string();
/// assert!(typo.starts_with("unknown function lowr; did you mean lower? functions: "));
/// # Ok::<(), sabot_expr::ExprError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    /// Of strings.
    Text(TextFunction),
    /// Of strings and regular expressions.
    Pattern(PatternFunction),
    /// Of numbers.
    Math(MathFunction),
    /// Of the bits of integers.
    Bits(BitsFunction),
    /// Of dates and timestamps.
    Time(TimeFunction),
    /// Of lists and structs.
    Nested(NestedFunction),
    /// Of values of any type.
    General(GeneralFunction),
}

impl Function {
    /// Every function, family by family.
    pub fn all() -> impl Iterator<Item = Function> {
        let text = TextFunction::ALL.iter().copied().map(Function::Text);
        let pattern = PatternFunction::ALL.iter().copied().map(Function::Pattern);
        let math = MathFunction::ALL.iter().copied().map(Function::Math);
        let bits = BitsFunction::ALL.iter().copied().map(Function::Bits);
        let time = TimeFunction::ALL.iter().copied().map(Function::Time);
        let nested = NestedFunction::ALL.iter().copied().map(Function::Nested);
        let general = GeneralFunction::ALL.iter().copied().map(Function::General);
        text.chain(pattern).chain(math).chain(bits).chain(time).chain(nested).chain(general)
    }

    /// The function's row.
    pub fn entry(self) -> &'static Entry {
        match self {
            Function::Text(function) => function.entry(),
            Function::Pattern(function) => function.entry(),
            Function::Math(function) => function.entry(),
            Function::Bits(function) => function.entry(),
            Function::Time(function) => function.entry(),
            Function::Nested(function) => function.entry(),
            Function::General(function) => function.entry(),
        }
    }

    /// The name in expressions and stored plans.
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// The name of the function's family: the heading it stands under.
    pub fn family(self) -> &'static str {
        match self {
            Function::Text(_) => "Strings",
            Function::Pattern(_) => "Regular expressions",
            Function::Math(_) => "Numbers",
            Function::Bits(_) => "Bits",
            Function::Time(_) => "Dates and timestamps",
            Function::Nested(_) => "Lists and structs",
            Function::General(_) => "Any type",
        }
    }

    /// The function of this name.
    ///
    /// # Errors
    /// [`ExprError::UnknownBuiltIn`] with the near miss.
    pub fn from_name(name: &str) -> Result<Function, ExprError> {
        Function::all().find(|function| function.name() == name).ok_or_else(|| {
            let names = || Function::all().map(Function::name);
            ExprError::UnknownBuiltIn {
                name: name.to_owned(),
                suggestion: sabot_common::did_you_mean(name, names()).map(str::to_owned),
                functions: sabot_common::list_names(names()),
            }
        })
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A function is stored as its name.
impl Serialize for Function {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Function {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Function::from_name(&name).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod duckdb;
#[cfg(test)]
mod page;
#[cfg(test)]
mod tests;
