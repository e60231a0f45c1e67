//! Unnest as a user asks for it, and what is known of its rows.

use sabot_ops::{SpecError, UnnestColumn, UnnestSource, UnnestSpec};
use serde::{Deserialize, Serialize};
use std::fmt;

use crate::derive::check_names;
use crate::{ChangeMode, NodeRef, PlanError, Properties};

/// An unnest as a user asks for it: the name of a column of lists, or [`elements`] with options.
///
/// ```
/// use sabot_plan::{UnnestRequest, elements};
/// assert_eq!(UnnestRequest::from("tags"), elements("tags"));
/// let request = elements("tags").alias("tag").position("nth").keep_empty();
/// assert_eq!((request.name.as_deref(), request.keep_empty), (Some("tag"), true));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnnestRequest {
    /// The column with the lists.
    pub column: String,
    /// Name of the column with the elements, which takes its place; `None` for the same name.
    pub name: Option<String>,
    /// Name of a column with the place of each element in its list, from 1, behind that of the elements.
    pub position: Option<String>,
    /// Whether a row whose list is null or empty gives one row nevertheless, with a null.
    pub keep_empty: bool,
}

/// The elements of a column of lists, each in a row of its own.
///
/// ```
/// # use sabot_plan::elements;
/// assert_eq!(elements("tags").column, "tags");
/// assert!(!elements("tags").keep_empty, "a row without elements gives no row");
/// ```
pub fn elements(column: impl Into<String>) -> UnnestRequest {
    UnnestRequest { column: column.into(), name: None, position: None, keep_empty: false }
}

impl UnnestRequest {
    /// Names the column with the elements.
    #[must_use]
    pub fn alias(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Adds a column with the place of each element in its list, from 1: SQL's `WITH ORDINALITY`.
    #[must_use]
    pub fn position(mut self, name: impl Into<String>) -> Self {
        self.position = Some(name.into());
        self
    }

    /// Gives one row, with a null, also for a list that is null or has no element: SQL's
    /// `LEFT JOIN UNNEST`.
    #[must_use]
    pub fn keep_empty(mut self) -> Self {
        self.keep_empty = true;
        self
    }
}

impl From<&str> for UnnestRequest {
    fn from(column: &str) -> Self {
        elements(column)
    }
}

/// An unnest over the columns of its input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unnest {
    /// The column with the lists. Its elements take its place.
    pub column: usize,
    /// The column's name, for `explain`.
    pub of: String,
    /// Name of the column with the elements.
    pub name: String,
    /// Name of the column with their positions, behind it.
    pub position: Option<String>,
    /// Whether a row without elements gives one row nevertheless.
    pub keep_empty: bool,
}

impl Unnest {
    /// The visible columns of the result of an input with so many columns, each with where it comes from.
    pub(crate) fn columns(&self, input: usize) -> Vec<UnnestSource> {
        let mut columns = Vec::with_capacity(input + 1);
        for column in 0..input {
            if column == self.column {
                columns.push(UnnestSource::Element);
                columns.extend(self.position.as_ref().map(|_| UnnestSource::Position));
            } else {
                columns.push(UnnestSource::Input(column));
            }
        }
        columns
    }
}

impl fmt::Display for Unnest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one row for each element of {}", self.of)?;
        if self.name != self.of {
            write!(f, " as {}", self.name)?;
        }
        if let Some(position) = &self.position {
            write!(f, ", numbered as {position}")?;
        }
        f.write_str(if self.keep_empty { ", and one for each list without" } else { "" })
    }
}

pub(crate) fn derive_unnest(unnest: &Unnest, input: &NodeRef) -> Result<Properties, PlanError> {
    const OPERATOR: &str = "unnest";
    let schema = input.schema();
    let name = |source: UnnestSource| match source {
        UnnestSource::Input(column) => schema.field(column).name().clone(),
        UnnestSource::Element => unnest.name.clone(),
        UnnestSource::Position | UnnestSource::Order(_) => unnest.position.clone().unwrap_or_default(),
    };
    let columns = unnest.columns(schema.fields().len()).into_iter();
    let columns: Vec<UnnestColumn> =
        columns.map(|source| UnnestColumn { name: name(source), source }).collect();
    check_names(OPERATOR, columns.iter().map(|column| column.name.as_str()))?;
    let spec = UnnestSpec { list: unnest.column, keep_empty: unnest.keep_empty, columns };
    let properties = input.properties().clone();
    let schema = spec.output_schema(schema).map_err(|error| match error {
        SpecError::ColumnType { column, got, .. } => PlanError::NoList { column, got },
        other => other.into(),
    })?;
    // Rows that had a name of their own have one together with the position, unless the list is in it.
    let upsert_key = properties.upsert_key.filter(|key| !key.contains(&unnest.of)).and_then(|mut key| {
        key.push(unnest.position.clone()?);
        Some(key)
    });
    Ok(Properties {
        schema,
        upsert_key,
        accepts: ChangeMode::Changelog,
        order_sensitive: false,
        ..properties
    })
}
