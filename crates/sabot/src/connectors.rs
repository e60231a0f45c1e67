//! The connectors that this crate knows by kind: the one place where leaves meet plans.

use sabot_common::{did_you_mean, list_names};
use sabot_connect::{ConnectError, Sink, Source};
use sabot_exec::ConnectorFactory;
use sabot_files::{CsvSink, ParquetSink, ParquetSource};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Opens connectors by kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connectors;

impl ConnectorFactory for Connectors {
    fn source(&self, kind: &str, options: &BTreeMap<String, String>) -> Result<Arc<dyn Source>, ConnectError> {
        match kind {
            "parquet" => Ok(Arc::new(ParquetSource::open(&options["path"])?)),
            _ => todo!(),
        }
    }

    fn sink(&self, kind: &str, options: &BTreeMap<String, String>) -> Result<Arc<dyn Sink>, ConnectError> {
        match kind {
            "parquet" => Ok(Arc::new(ParquetSink::new(&options["path"])?)),
            "csv" => Ok(Arc::new(CsvSink::new(&options["path"])?)),
            _ => todo!(),
        }
    }
}
