//! Connectors by kind, so that plans stay data.
//!
//! A plan names a connector by its kind and options of text. A [`ConnectorRegistry`] turns that into a
//! source or sink; which kinds there are is decided by whoever joins the crates that own them.

use sabot_common::{did_you_mean, list_names};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::str::FromStr;
use std::sync::Arc;

use crate::generator::GeneratorFactory;
use crate::{ConnectError, Sink, Source};

/// Makes sources of one kind.
pub trait SourceFactory: Debug + Send + Sync {
    /// The kind, in lower case: `parquet`.
    fn kind(&self) -> &'static str;

    /// A source with these options.
    ///
    /// # Errors
    /// [`ConnectError::BadOption`] for an option that is missing, unknown or means nothing; whatever else
    /// keeps the source from being made.
    fn create(&self, options: &Options<'_>) -> Result<Arc<dyn Source>, ConnectError>;
}

/// Makes sinks of one kind.
pub trait SinkFactory: Debug + Send + Sync {
    /// The kind, in lower case: `parquet`.
    fn kind(&self) -> &'static str;

    /// A sink with these options.
    ///
    /// # Errors
    /// As [`SourceFactory::create`].
    fn create(&self, options: &Options<'_>) -> Result<Arc<dyn Sink>, ConnectError>;
}

/// The options of a connector, with errors that name the kind and the option.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    kind: &'a str,
    values: &'a BTreeMap<String, String>,
}

impl<'a> Options<'a> {
    /// The options `values` of a connector of this kind.
    pub fn new(kind: &'a str, values: &'a BTreeMap<String, String>) -> Self {
        Self { kind, values }
    }

    /// Refuses options that the kind does not have.
    ///
    /// # Errors
    /// [`ConnectError::BadOption`] with a near miss.
    pub fn only(&self, known: &[&str]) -> Result<(), ConnectError> {
        let Some(unknown) = self.values.keys().find(|name| !known.contains(&name.as_str())) else {
            return Ok(());
        };
        let near = did_you_mean(unknown, known.iter().copied());
        let near = near.map_or_else(String::new, |near| format!(" (did you mean \"{near}\"?)"));
        let expected = format!("one of {}", list_names(known.iter().copied()));
        Err(self.bad(unknown, expected, format!("an option that does not exist{near}")))
    }

    /// The value of an option, if it is given.
    pub fn get(&self, option: &str) -> Option<&'a str> {
        self.values.get(option).map(String::as_str)
    }

    /// The value of an option that must be given.
    ///
    /// # Errors
    /// [`ConnectError::BadOption`] when it is not.
    pub fn required(&self, option: &str, expected: &str) -> Result<&'a str, ConnectError> {
        self.get(option).ok_or_else(|| self.bad(option, expected, "nothing"))
    }

    /// The parsed value of an option, if it is given.
    ///
    /// # Errors
    /// [`ConnectError::BadOption`] when it does not parse; `expected` says what would.
    pub fn parse<T: FromStr>(&self, option: &str, expected: &str) -> Result<Option<T>, ConnectError> {
        let Some(text) = self.get(option) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| self.bad(option, expected, format!("\"{text}\"")))
    }

    /// The error for an option.
    pub fn bad(&self, option: &str, expected: impl Into<String>, found: impl Into<String>) -> ConnectError {
        ConnectError::BadOption {
            kind: self.kind.to_owned(),
            option: option.to_owned(),
            expected: expected.into(),
            found: found.into(),
        }
    }
}

/// The connectors that there are, by kind.
///
/// ```
/// use sabot_connect::{ConnectorRegistry, Source};
/// let options = [("columns", "id sequence(0, 1); delay int(-10, 60)"), ("rows", "1000")];
/// let options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
/// let source = ConnectorRegistry::new().source("generator", &options)?;
/// assert_eq!(source.schema().field(1).name(), "delay");
/// # Ok::<(), sabot_connect::ConnectError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConnectorRegistry {
    sources: BTreeMap<&'static str, Arc<dyn SourceFactory>>,
    sinks: BTreeMap<&'static str, Arc<dyn SinkFactory>>,
}

impl Default for ConnectorRegistry {
    fn default() -> Self {
        Self::new()
    }
}

impl ConnectorRegistry {
    /// The connectors of this crate: the `generator`.
    pub fn new() -> Self {
        let mut registry = Self { sources: BTreeMap::new(), sinks: BTreeMap::new() };
        registry.add_source(Arc::new(GeneratorFactory));
        registry
    }

    /// Adds a kind of source; one of the same kind is replaced.
    pub fn add_source(&mut self, factory: Arc<dyn SourceFactory>) {
        self.sources.insert(factory.kind(), factory);
    }

    /// Adds a kind of sink; one of the same kind is replaced.
    pub fn add_sink(&mut self, factory: Arc<dyn SinkFactory>) {
        self.sinks.insert(factory.kind(), factory);
    }

    /// A source of a kind.
    ///
    /// # Errors
    /// [`ConnectError::UnknownKind`] with a near miss, or what the kind says of its options.
    pub fn source(
        &self,
        kind: &str,
        options: &BTreeMap<String, String>,
    ) -> Result<Arc<dyn Source>, ConnectError> {
        let factory = self.sources.get(kind).ok_or_else(|| unknown("source", kind, self.sources.keys()))?;
        factory.create(&Options::new(kind, options))
    }

    /// A sink of a kind.
    ///
    /// # Errors
    /// As [`ConnectorRegistry::source`].
    pub fn sink(
        &self,
        kind: &str,
        options: &BTreeMap<String, String>,
    ) -> Result<Arc<dyn Sink>, ConnectError> {
        let factory = self.sinks.get(kind).ok_or_else(|| unknown("sink", kind, self.sinks.keys()))?;
        factory.create(&Options::new(kind, options))
    }
}

fn unknown<'a>(
    what: &'static str,
    kind: &str,
    known: impl Iterator<Item = &'a &'static str> + Clone,
) -> ConnectError {
    let near = did_you_mean(kind, known.clone().copied());
    ConnectError::UnknownKind {
        what,
        kind: kind.to_owned(),
        near: near.map_or_else(String::new, |near| format!("; did you mean \"{near}\"?")),
        known: list_names(known.copied()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn unknown_kinds_and_options_get_a_near_miss() {
        let registry = ConnectorRegistry::new();
        let kind = registry.source("generater", &options(&[])).unwrap_err().to_string();
        assert_eq!(kind, "unknown source kind \"generater\"; did you mean \"generator\"?; kinds: generator");
        assert!(registry.sink("x", &options(&[])).unwrap_err().to_string().ends_with("kinds: (none)"));
        let option = registry.source("generator", &options(&[("colums", "x")])).unwrap_err().to_string();
        assert!(option.contains("\"colums\"") && option.contains("did you mean \"columns\"?"), "{option}");
        let missing = registry.source("generator", &options(&[("rows", "1")])).unwrap_err().to_string();
        assert!(missing.contains("option \"columns\": expected") && missing.ends_with("found nothing"));
        let number = options(&[("columns", "a int(0, 1)"), ("rows", "many")]);
        let number = registry.source("generator", &number).unwrap_err().to_string();
        assert_eq!(number, "generator: option \"rows\": expected a number of rows, found \"many\"");
    }
}
