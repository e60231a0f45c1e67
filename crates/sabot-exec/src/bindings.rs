//! What a plan only names: sources, sinks and functions, bound when the plan is run.

use arrow::record_batch::RecordBatch;
use sabot_common::list_names;
use sabot_connect::{ConnectError, ConnectorRegistry, Sink, Source};
use sabot_plan::Connector;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::JobError;

/// A user's function over batches.
pub type BatchFunction =
    Arc<dyn Fn(RecordBatch) -> Result<RecordBatch, Box<dyn std::error::Error + Send + Sync>> + Send + Sync>;

/// Everything that a plan names, by slot.
#[derive(Clone, Default)]
pub struct Bindings {
    /// Sources by slot.
    pub sources: BTreeMap<String, Arc<dyn Source>>,
    /// Sinks by slot.
    pub sinks: BTreeMap<String, Arc<dyn Sink>>,
    /// Functions over batches by slot.
    pub functions: BTreeMap<String, BatchFunction>,
    /// Sources that were opened already, while their stream was built.
    pub opened: BTreeMap<Connector, Arc<dyn Source>>,
    /// What opens connectors that are described by kind.
    pub registry: Option<Arc<ConnectorRegistry>>,
    /// What opens those that name it instead ([`Connector::opener`]): with credentials, say, which are no part
    /// of a plan.
    pub openers: BTreeMap<String, Arc<ConnectorRegistry>>,
}

impl std::fmt::Debug for Bindings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bindings")
            .field("sources", &self.sources.keys())
            .field("sinks", &self.sinks.keys())
            .field("functions", &self.functions.keys())
            .finish_non_exhaustive()
    }
}

impl Bindings {
    /// Takes over what another set binds. Names of slots and openers are unique, so nothing is overwritten
    /// that differs.
    pub fn merge(&mut self, other: &Bindings) {
        let Bindings { sources, sinks, functions, opened, registry, openers } = other;
        self.sources.extend(sources.iter().map(|(k, v)| (k.clone(), v.clone())));
        self.sinks.extend(sinks.iter().map(|(k, v)| (k.clone(), v.clone())));
        self.functions.extend(functions.iter().map(|(k, v)| (k.clone(), v.clone())));
        self.opened.extend(opened.iter().map(|(k, v)| (k.clone(), v.clone())));
        self.registry = self.registry.take().or_else(|| registry.clone());
        self.openers.extend(openers.iter().map(|(k, v)| (k.clone(), v.clone())));
    }

    /// Lets a connector that is described by kind be opened by `registry`, and with it all that name the same
    /// opener, or none.
    pub fn open_with(&mut self, connector: &Connector, registry: Arc<ConnectorRegistry>) {
        match connector.opener() {
            Some(opener) => drop(self.openers.insert(opener.to_owned(), registry)),
            None => drop(self.registry.get_or_insert(registry)),
        }
    }

    /// What opens a connector. One that names its opener is opened by no other, which would read and write
    /// somewhere else.
    fn registry(
        &self,
        what: &'static str,
        kind: &str,
        opener: Option<&str>,
    ) -> Result<&ConnectorRegistry, Unresolved> {
        let found = match opener {
            Some(opener) => self.openers.get(opener).ok_or_else(|| {
                unbound("opener", opener, &list_names(self.openers.keys().map(String::as_str)))
            }),
            None => self.registry.as_ref().ok_or_else(|| unbound(what, kind, "no connector registry")),
        };
        found.map(|registry| &**registry)
    }

    pub(crate) fn source(&self, connector: &Connector) -> Result<Arc<dyn Source>, Unresolved> {
        match connector {
            Connector::Slot(slot) => bound("source", slot, &self.sources),
            opened if self.opened.contains_key(opened) => Ok(self.opened[opened].clone()),
            Connector::Registered { kind, options, opener } => self
                .registry("source", kind, opener.as_deref())?
                .source(kind, options)
                .map_err(Unresolved::Connect),
        }
    }

    pub(crate) fn sink(&self, connector: &Connector) -> Result<Arc<dyn Sink>, Unresolved> {
        match connector {
            Connector::Slot(slot) => bound("sink", slot, &self.sinks),
            Connector::Registered { kind, options, opener } => self
                .registry("sink", kind, opener.as_deref())?
                .sink(kind, options)
                .map_err(Unresolved::Connect),
        }
    }

    pub(crate) fn function(&self, slot: &str) -> Result<BatchFunction, Unresolved> {
        bound("function", slot, &self.functions)
    }
}

/// A name that leads nowhere.
pub(crate) enum Unresolved {
    Unbound(JobError),
    Connect(ConnectError),
}

fn bound<T: Clone>(what: &'static str, slot: &str, all: &BTreeMap<String, T>) -> Result<T, Unresolved> {
    all.get(slot).cloned().ok_or_else(|| unbound(what, slot, &list_names(all.keys().map(String::as_str))))
}

fn unbound(what: &'static str, slot: &str, bound: &str) -> Unresolved {
    Unresolved::Unbound(JobError::Unbound { what, slot: slot.to_owned(), bound: bound.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_its_opener_is_opened_by_no_other() {
        let plain = Connector::registered("csv", [("path", "s3://b/a.csv")]);
        let mut bindings = Bindings::default();
        bindings.open_with(&plain, Arc::new(ConnectorRegistry::new()));
        bindings.open_with(&plain.clone().opened_by("stores-1"), Arc::new(ConnectorRegistry::new()));
        let message = |connector: &Connector| match bindings.source(connector) {
            Err(Unresolved::Unbound(error)) => error.to_string(),
            Err(Unresolved::Connect(error)) => error.to_string(),
            Ok(source) => panic!("{source:?}"),
        };
        // These two are asked, and know no kinds.
        assert!(message(&plain).starts_with("unknown source kind"), "{}", message(&plain));
        assert!(message(&plain.clone().opened_by("stores-1")).starts_with("unknown source kind"));
        let unbound = "opener \"stores-2\" of the plan is not bound; bound: stores-1";
        assert_eq!(message(&plain.opened_by("stores-2")), unbound);
    }
}
