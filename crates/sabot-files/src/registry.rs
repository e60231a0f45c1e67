//! The kinds `parquet` and `csv` for plans that name connectors as data.

use sabot_connect::registry::Options;
use sabot_connect::{ConnectError, ConnectorRegistry, Sink, SinkFactory, Source, SourceFactory};
use std::sync::Arc;

use crate::{CsvOptions, CsvSink, CsvSource, ParquetSink, ParquetSource};

const INPUT_PATH: &str = "a file, or a folder of files";
const OUTPUT_PATH: &str = "a file with an extension, or a folder with a trailing slash";

/// Adds the sources and sinks of this crate.
///
/// `parquet` has the option `path`. `csv` has `path`, and as a source `header` (`true`), `delimiter`
/// (one ASCII character) and `infer_rows` (1000).
pub fn register(registry: &mut ConnectorRegistry) {
    registry.add_source(Arc::new(Parquet));
    registry.add_sink(Arc::new(Parquet));
    registry.add_source(Arc::new(Csv));
    registry.add_sink(Arc::new(Csv));
}

#[derive(Debug)]
struct Parquet;

impl SourceFactory for Parquet {
    fn kind(&self) -> &'static str {
        "parquet"
    }

    fn create(&self, options: &Options<'_>) -> Result<Arc<dyn Source>, ConnectError> {
        options.only(&["path"])?;
        Ok(Arc::new(ParquetSource::open(options.required("path", INPUT_PATH)?)?))
    }
}

impl SinkFactory for Parquet {
    fn kind(&self) -> &'static str {
        "parquet"
    }

    fn create(&self, options: &Options<'_>) -> Result<Arc<dyn Sink>, ConnectError> {
        options.only(&["path"])?;
        Ok(Arc::new(ParquetSink::new(options.required("path", OUTPUT_PATH)?)?))
    }
}

#[derive(Debug)]
struct Csv;

impl SourceFactory for Csv {
    fn kind(&self) -> &'static str {
        "csv"
    }

    fn create(&self, options: &Options<'_>) -> Result<Arc<dyn Source>, ConnectError> {
        options.only(&["path", "header", "delimiter", "infer_rows"])?;
        let path = options.required("path", INPUT_PATH)?;
        let defaults = CsvOptions::default();
        let delimiter = match options.get("delimiter").map(str::as_bytes) {
            None => defaults.delimiter,
            Some([byte]) if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => *byte,
            Some(other) => {
                let found = format!("\"{}\"", String::from_utf8_lossy(other));
                return Err(options.bad("delimiter", "one ASCII character that is no quote", found));
            }
        };
        let csv = CsvOptions {
            header: options.parse("header", "true or false")?.unwrap_or(defaults.header),
            delimiter,
            schema: None,
            infer_rows: options.parse("infer_rows", "a number of rows")?.unwrap_or(defaults.infer_rows),
        };
        Ok(Arc::new(CsvSource::with_options(path, csv)?))
    }
}

impl SinkFactory for Csv {
    fn kind(&self) -> &'static str {
        "csv"
    }

    fn create(&self, options: &Options<'_>) -> Result<Arc<dyn Sink>, ConnectError> {
        options.only(&["path"])?;
        Ok(Arc::new(CsvSink::new(options.required("path", OUTPUT_PATH)?)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn files_are_opened_by_kind_and_options() {
        let mut registry = ConnectorRegistry::new();
        register(&mut registry);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "1;2\n").unwrap();
        let path = path.to_str().unwrap();
        let csv = options(&[("path", path), ("header", "false"), ("delimiter", ";"), ("infer_rows", "5")]);
        assert_eq!(registry.source("csv", &csv).unwrap().schema().fields().len(), 2);
        let message = |kind: &str, pairs: &[(&str, &str)]| {
            registry.source(kind, &options(pairs)).unwrap_err().to_string()
        };
        assert!(message("parquet", &[("path", path)]).contains("is not a readable Parquet file"));
        assert!(
            message("csv", &[])
                .contains("option \"path\": expected a file, or a folder of files, found nothing")
        );
        assert!(message("csv", &[("path", path), ("delimiter", "ab")]).contains("one ASCII character"));
        assert!(
            message("csv", &[("path", path), ("delimeter", ";")]).contains("did you mean \"delimiter\"?")
        );
        assert!(message("json", &[]).ends_with("kinds: csv, generator, parquet"));
        for kind in ["csv", "parquet"] {
            let out = folder.path().join(format!("out.{kind}"));
            let sink = registry.sink(kind, &options(&[("path", out.to_str().unwrap())])).unwrap();
            assert_eq!(sink.name(), out.to_str().unwrap());
        }
    }
}
