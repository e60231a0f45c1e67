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
    /// What opens single ones of them instead: with credentials, say, which are no part of a plan.
    pub registries: BTreeMap<Connector, Arc<ConnectorRegistry>>,
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
    /// Takes over what another set binds. Names of slots are unique, so nothing is overwritten that
    /// differs.
    pub fn merge(&mut self, other: &Bindings) {
        let Bindings { sources, sinks, functions, opened, registry, registries } = other;
        self.sources.extend(sources.iter().map(|(k, v)| (k.clone(), v.clone())));
        self.sinks.extend(sinks.iter().map(|(k, v)| (k.clone(), v.clone())));
        self.functions.extend(functions.iter().map(|(k, v)| (k.clone(), v.clone())));
        self.opened.extend(opened.iter().map(|(k, v)| (k.clone(), v.clone())));
        self.registry = self.registry.take().or_else(|| registry.clone());
        self.registries.extend(registries.iter().map(|(k, v)| (k.clone(), v.clone())));
    }

    fn registry(&self, connector: &Connector) -> Option<&Arc<ConnectorRegistry>> {
        self.registries.get(connector).or(self.registry.as_ref())
    }

    pub(crate) fn source(&self, connector: &Connector) -> Result<Arc<dyn Source>, Unresolved> {
        match connector {
            Connector::Slot(slot) => bound("source", slot, &self.sources),
            opened if self.opened.contains_key(opened) => Ok(self.opened[opened].clone()),
            Connector::Registered { kind, options } => match self.registry(connector) {
                Some(registry) => registry.source(kind, options).map_err(Unresolved::Connect),
                None => Err(unbound("source", kind, "no connector registry")),
            },
        }
    }

    pub(crate) fn sink(&self, connector: &Connector) -> Result<Arc<dyn Sink>, Unresolved> {
        match connector {
            Connector::Slot(slot) => bound("sink", slot, &self.sinks),
            Connector::Registered { kind, options } => match self.registry(connector) {
                Some(registry) => registry.sink(kind, options).map_err(Unresolved::Connect),
                None => Err(unbound("sink", kind, "no connector registry")),
            },
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
