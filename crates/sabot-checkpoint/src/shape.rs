//! The columns of an operator's state, and which of them may change between one run of a job and the next.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A column of state.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "(String, String, String, bool)", into = "(String, String, String, bool)")]
pub struct StateColumn {
    /// Which rows it belongs to: an operator may keep several kinds of them.
    pub part: String,
    /// Its name.
    pub name: String,
    /// Its type, in the words of schemas: `int64`, `timestamp(us)`.
    pub data_type: String,
    /// Whether there may be nulls.
    pub nullable: bool,
}

impl From<(String, String, String, bool)> for StateColumn {
    fn from((part, name, data_type, nullable): (String, String, String, bool)) -> Self {
        Self { part, name, data_type, nullable }
    }
}

impl From<StateColumn> for (String, String, String, bool) {
    fn from(StateColumn { part, name, data_type, nullable }: StateColumn) -> Self {
        (part, name, data_type, nullable)
    }
}

impl fmt::Display for StateColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} {}", self.part, self.name, self.data_type)
    }
}

/// What an operator's state consists of: the columns of all kinds of rows that it keeps.
///
/// Between two runs of a job columns that may be null can be added, and types can be widened: integers and floats to
/// more bits, unsigned integers to signed ones of more bits, decimals to more digits before the point. Anything else
/// makes state that was written useless, and is refused.
///
/// ```
/// # use sabot_checkpoint::{StateColumn, StateShape};
/// let column = |name: &str, data_type: &str, nullable| StateColumn {
///     part: "groups".into(),
///     name: name.into(),
///     data_type: data_type.into(),
///     nullable,
/// };
/// let was = StateShape(vec![column("card", "int32", false)]);
/// let is = StateShape(vec![column("card", "int64", false), column("mean", "float64", true)]);
/// let changes = is.changes_since(&was)?;
/// assert_eq!(changes, ["groups/card int32 becomes int64", "groups/mean float64 is null in what was kept"]);
/// assert_eq!(was.changes_since(&is).unwrap_err(), "groups/card is int64 in the checkpoint and int32 in the job");
///
/// // As it stands in manifests.
/// assert_eq!(was.to_string(), r#"[["groups","card","int32",false]]"#);
/// assert_eq!(was.to_string().parse(), Ok(was));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct StateShape(pub Vec<StateColumn>);

impl StateShape {
    /// The part whose columns are no columns of rows: the functions by which results are computed, under their names.
    pub const FUNCTIONS: &str = "functions";

    /// What has changed since state of another shape was written, for people. None when nothing has.
    ///
    /// # Errors
    /// The first change that makes that state useless.
    pub fn changes_since(&self, was: &StateShape) -> Result<Vec<String>, String> {
        let find = |shape: &'_ StateShape, column: &StateColumn| {
            let same = |other: &&StateColumn| (&other.part, &other.name) == (&column.part, &column.name);
            shape.0.iter().find(same).cloned()
        };
        let mut changes = Vec::new();
        for column in &self.0 {
            let StateColumn { part, name, data_type, nullable } = column;
            let Some(before) = find(was, column) else {
                if !nullable {
                    return Err(format!("{column} is new in the job, and cannot be null"));
                }
                // A function has no rows, and its columns are new as well.
                if part != Self::FUNCTIONS {
                    changes.push(format!("{column} is null in what was kept"));
                }
                continue;
            };
            let was_type = before.data_type;
            if was_type != *data_type && !widens(&was_type, data_type) {
                return Err(format!(
                    "{part}/{name} is {was_type} in the checkpoint and {data_type} in the job"
                ));
            }
            if before.nullable && !nullable {
                return Err(format!(
                    "{part}/{name} may be null in the checkpoint and must not be in the job"
                ));
            }
            if was_type != *data_type {
                changes.push(format!("{part}/{name} {was_type} becomes {data_type}"));
            }
        }
        match was.0.iter().find(|column| find(self, column).is_none()) {
            Some(gone) => Err(format!("{gone} is in the checkpoint, and no longer in the job")),
            None => Ok(changes),
        }
    }
}

impl fmt::Display for StateShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(&self.0).map_err(|_| fmt::Error)?)
    }
}

/// A text that is no shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the columns of the state are written down in a form that this version does not know: {problem}")]
pub struct StateShapeError {
    /// What stands against it.
    pub problem: String,
}

impl FromStr for StateShape {
    type Err = StateShapeError;
    fn from_str(text: &str) -> Result<Self, StateShapeError> {
        serde_json::from_str(text).map(Self).map_err(|error| StateShapeError { problem: error.to_string() })
    }
}

/// Whether every value of the one type is one of the other.
fn widens(from: &str, to: &str) -> bool {
    let number = |name: &str, kind: &str| name.strip_prefix(kind).and_then(|bits| bits.parse::<u32>().ok());
    let both = |kind: &str| Some((number(from, kind)?, number(to, kind)?));
    let wider = |pair: Option<(u32, u32)>| pair.is_some_and(|(from, to)| from < to);
    let unsigned_to_signed = || Some((number(from, "uint")?, number(to, "int")?));
    wider(both("int"))
        || wider(both("uint"))
        || wider(both("float"))
        || wider(unsigned_to_signed())
        || decimals(from, to).is_some_and(|((p, s), (wide_p, wide_s))| s == wide_s && p < wide_p)
}

/// Digits and scales of two decimals.
fn decimals(from: &str, to: &str) -> Option<((u32, i32), (u32, i32))> {
    let digits = |name: &str| {
        let (_, numbers) = name.strip_prefix("decimal")?.strip_suffix(')')?.split_once('(')?;
        let (precision, scale) = numbers.split_once(", ")?;
        Some((precision.parse().ok()?, scale.parse().ok()?))
    };
    Some((digits(from)?, digits(to)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_widens_where_every_value_stays_one() {
        for (from, to) in [
            ("int8", "int16"),
            ("int32", "int64"),
            ("uint8", "uint64"),
            ("uint32", "int64"),
            ("float32", "float64"),
            ("decimal128(10, 2)", "decimal128(12, 2)"),
            ("decimal32(5, 0)", "decimal256(60, 0)"),
        ] {
            assert!(widens(from, to) && !widens(to, from), "{from} to {to}");
        }
        for (from, to) in [
            ("int64", "int64"),
            ("uint64", "int64"),
            ("int8", "uint16"),
            ("int32", "float64"),
            ("decimal128(10, 2)", "decimal128(12, 3)"),
            ("utf8", "large_utf8"),
            ("date32", "timestamp(us)"),
            ("timestamp(us)", "timestamp(ns)"),
        ] {
            assert!(!widens(from, to), "{from} to {to}");
        }
    }

    #[test]
    fn what_makes_state_useless_is_named() {
        let column = |text: &str| {
            let [part, name, data_type, null] = text.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{text}")
            };
            let (part, name, data_type) = (part.to_owned(), name.to_owned(), data_type.to_owned());
            StateColumn { part, name, data_type, nullable: null == "null" }
        };
        let shape = |text: &str| StateShape(text.split(", ").map(column).collect());
        let changes = |was: &str, is: &str| shape(is).changes_since(&shape(was));
        assert_eq!(changes("a x int8 null, a y utf8 no", "a y utf8 no, a x int8 null"), Ok(vec![]));
        let refused = |was, is| changes(was, is).unwrap_err();
        assert_eq!(
            refused("a x int8 no", "a x int8 no, a y utf8 no"),
            "a/y utf8 is new in the job, and cannot be null"
        );
        assert_eq!(
            refused("a x int8 no, a y utf8 no", "a x int8 no"),
            "a/y utf8 is in the checkpoint, and no longer in the job"
        );
        assert_eq!(refused("a x int8 no", "b x int8 no"), "b/x int8 is new in the job, and cannot be null");
        assert_eq!(
            refused("a x int8 null", "a x int8 no"),
            "a/x may be null in the checkpoint and must not be in the job"
        );
    }

    #[test]
    fn other_forms_are_refused() {
        assert!("card utf8, count int64".parse::<StateShape>().is_err());
        assert_eq!("[]".parse(), Ok(StateShape::default()));
    }
}
