//! What a row of the table of functions says.

use std::fmt::Write as _;

use crate::expr::Expr;
use crate::scalar::Scalar;
use crate::typed::TypedExpr;

/// A built-in function: all that is known of it without running it.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The name, as in SQL.
    pub name: &'static str,
    /// What it gives, in a sentence.
    pub about: &'static str,
    /// What it takes, in order: required parameters, then optional ones, then at most one that repeats.
    pub parameters: &'static [Parameter],
    /// The type of the result.
    pub returns: Returns,
    /// When the result is null.
    pub nulls: Nulls,
    /// When a row is an error.
    pub errors: Errors,
    /// How many units in the last place a backend's floats may be off; 0 where results are exact.
    pub ulp: u32,
    /// Arguments, and the result that they give. Examples are run by tests.
    pub example: fn() -> (Vec<Expr>, Scalar),
}

/// A parameter of a function.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// The name in messages and documents.
    pub name: &'static str,
    /// The types that it takes.
    pub takes: Takes,
    /// How often it stands in a call.
    pub need: Need,
}

/// How often a parameter stands in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Once.
    Once,
    /// Once or not at all.
    Optional,
    /// Once or more.
    Repeated,
}

/// The types that a parameter takes, and what becomes of its argument. NULL is taken everywhere but
/// where a literal is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Takes {
    /// A string: utf8, large_utf8, or a dictionary of either, which is decoded.
    Text,
    /// A string, or anything that can be cast to one, which it is.
    Printable,
    /// An integer, which becomes int64.
    Count,
    /// An integer. Several such arguments meet in their common type.
    Integer,
    /// An integer or a float, of its own type.
    Number,
    /// A number, as a float: float32 if all such arguments are, else float64.
    Float,
    /// A date or a timestamp of any unit and zone.
    Time,
    /// A value of any type that has an order. Several such arguments meet in their common type.
    Comparable,
    /// A value of any type that can be a key.
    Key,
    /// A regular expression; checked when the pipeline is built if it is a literal.
    Pattern,
    /// A list of any kind.
    List,
    /// A value of the type of the first argument's items.
    Item,
    /// A struct.
    Struct,
    /// The name of a field of the first argument, as a literal.
    Field,
    /// One of a few words, as a literal.
    Word {
        /// What the words are, for messages: `date part`.
        what: &'static str,
        /// The words.
        words: fn() -> Vec<&'static str>,
    },
    /// Letters, each of which stands for an option, as a literal.
    Letters(&'static str),
    /// The name of a time zone (`Europe/Zurich`) or an offset (`+01:00`), as a literal.
    Zone,
}

impl Takes {
    /// The types in words.
    pub fn describe(self) -> &'static str {
        match self {
            Takes::Text => "string",
            Takes::Printable => "string, number, bool, date or timestamp",
            Takes::Count | Takes::Integer => "integer",
            Takes::Number | Takes::Float => "number",
            Takes::Time => "date or timestamp",
            Takes::Comparable => "any type with an order",
            Takes::Key => "any type that can be a key",
            Takes::Pattern => "regular expression",
            Takes::List => "list",
            Takes::Item => "type of the items",
            Takes::Struct => "struct",
            Takes::Field => "literal field name",
            Takes::Word { what, .. } => what,
            Takes::Letters(_) => "literal letters",
            Takes::Zone => "literal zone",
        }
    }
}

/// The type of a function's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    /// bool.
    Boolean,
    /// int8.
    Int8,
    /// int64.
    Int64,
    /// uint64.
    UInt64,
    /// float64.
    Float64,
    /// large_utf8 if a string argument is, else utf8.
    Text,
    /// The type of the first argument's items, decoded.
    Item,
    /// The type of the first argument's field that the second one names, decoded.
    Field,
    /// The type of the argument at a position, after arguments have met.
    SameAs(usize),
}

/// When a function's result is null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nulls {
    /// When an argument is.
    AnyArgument,
    /// When all arguments are; others are passed over.
    AllArguments,
    /// When the first argument is; other nulls are passed over.
    FirstArgument,
    /// Also when no argument is; says when.
    Also(&'static str),
    /// Never.
    Never,
}

impl Nulls {
    /// The condition in words.
    pub fn describe(self) -> &'static str {
        match self {
            Nulls::AnyArgument => "an argument is",
            Nulls::AllArguments => "all arguments are",
            Nulls::FirstArgument => "the first argument is",
            Nulls::Also(when) => when,
            Nulls::Never => "never",
        }
    }
}

/// When a row is an error.
#[derive(Clone, Copy)]
pub struct Errors {
    /// The condition in words; empty for never.
    pub when: &'static str,
    /// Whether it is possible for these arguments. An error that is thought possible and is not only
    /// costs speed; the other way round a result could be lost.
    pub possible: fn(&[TypedExpr]) -> bool,
}

impl std::fmt::Debug for Errors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.when)
    }
}

impl Errors {
    /// No row is an error.
    pub const NEVER: Errors = Errors { when: "", possible: |_| false };

    /// A row can be an error, whatever the arguments are.
    pub const fn when(when: &'static str) -> Errors {
        Errors { when, possible: |_| true }
    }
}

impl Entry {
    /// The call with its parameters: `substring(text, start[, length])`.
    pub fn signature(&self) -> String {
        let mut text = format!("{}(", self.name);
        let mut closing = String::new();
        for (i, parameter) in self.parameters.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            let _ = match parameter.need {
                Need::Once => write!(text, "{comma}{}", parameter.name),
                Need::Optional => {
                    closing.push(']');
                    write!(text, "[{comma}{}", parameter.name)
                }
                Need::Repeated => write!(text, "{comma}{}, …", parameter.name),
            };
        }
        text + &closing + ")"
    }

    /// Whether a call can have this number of arguments.
    pub fn takes_count(&self, count: usize) -> bool {
        let required = self.parameters.iter().filter(|p| p.need != Need::Optional).count();
        let repeats = self.parameters.iter().any(|p| p.need == Need::Repeated);
        count >= required && (repeats || count <= self.parameters.len())
    }

    /// The parameter that the argument at a position belongs to.
    pub fn parameter(&self, position: usize) -> Option<&'static Parameter> {
        self.parameters.get(position).or_else(|| self.parameters.last().filter(|p| p.need == Need::Repeated))
    }
}

/// A parameter that stands once.
pub(super) const fn one(name: &'static str, takes: Takes) -> Parameter {
    Parameter { name, takes, need: Need::Once }
}

/// A parameter that may be left out.
pub(super) const fn optional(name: &'static str, takes: Takes) -> Parameter {
    Parameter { name, takes, need: Need::Optional }
}

/// A parameter that stands once or more.
pub(super) const fn repeated(name: &'static str, takes: Takes) -> Parameter {
    Parameter { name, takes, need: Need::Repeated }
}

/// A family of functions: a closed enum with a row for each member.
macro_rules! family {
    (
        $(#[$about:meta])*
        pub enum $family:ident { $($variant:ident => $entry:expr,)* }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "the row says what the function is")]
        pub enum $family { $($variant),* }

        impl $family {
            /// Every function of the family.
            pub const ALL: &[$family] = &[$($family::$variant),*];

            /// The function's row.
            pub fn entry(self) -> &'static Entry {
                match self {
                    $($family::$variant => {
                        static ENTRY: Entry = $entry;
                        &ENTRY
                    })*
                }
            }
        }
    };
}

/// The example of a row: arguments and result.
macro_rules! example {
    ($($argument:expr),* => $result:expr) => {
        || (vec![$(crate::builder::IntoExpr::into_expr($argument)),*], crate::scalar::Scalar::from($result))
    };
}

pub(super) use {example, family};
