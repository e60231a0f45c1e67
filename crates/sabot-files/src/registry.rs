//! The kinds of files for plans that name connectors as data.

use sabot_common::{did_you_mean, list_names};
use sabot_connect::registry::Options;
use sabot_connect::{ConnectError, ConnectorRegistry, Sink, SinkFactory, Source, SourceFactory, Stores};
use std::path::Path;
use std::sync::Arc;

use crate::columns_text::parse_names;
use crate::compression::Compression;
use crate::text::TextOptions;
use crate::{CsvOptions, DeadLetterOptions, FileSink, FileSource, Location, NdjsonOptions, parse_columns};

const INPUT_PATH: &str = "a file, a folder of files, a pattern such as \"flights-*.csv\", or - for stdin";
const OUTPUT_PATH: &str = "a file with an extension, a folder with a trailing slash, or - for stdout";
const TEXT_OPTIONS: &[&str] =
    &["path", "schema", "infer_rows", "max_record_bytes", "compression", "dead_letters", "max_dead_letters"];

const TYPED_OPTIONS: &[&str] = &["path", "not_null"];

/// A format of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Csv,
    Ndjson,
    Arrow,
    Parquet,
}

impl Kind {
    const ALL: [Kind; 4] = [Kind::Csv, Kind::Ndjson, Kind::Arrow, Kind::Parquet];

    fn name(self) -> &'static str {
        match self {
            Kind::Csv => "csv",
            Kind::Ndjson => "ndjson",
            Kind::Arrow => "arrow",
            Kind::Parquet => "parquet",
        }
    }

    fn extensions(self) -> &'static [&'static str] {
        match self {
            Kind::Csv => crate::csv::EXTENSIONS,
            Kind::Ndjson => crate::ndjson::EXTENSIONS,
            Kind::Arrow => crate::arrow_ipc::EXTENSIONS,
            Kind::Parquet => crate::parquet::EXTENSIONS,
        }
    }

    /// The format of a path, by its extension, that of its compression left aside.
    fn of_path(path: &Path) -> Result<Self, ConnectError> {
        let compressed = Compression::of_path(path) != Compression::None;
        let plain = if compressed { path.with_extension("") } else { path.to_owned() };
        let extension = plain.extension().map(|found| found.to_string_lossy().to_lowercase());
        let extension = extension.unwrap_or_default();
        let known = Self::ALL.into_iter().find(|kind| kind.extensions().contains(&extension.as_str()));
        known.ok_or_else(|| {
            let all = || Self::ALL.into_iter().flat_map(Kind::extensions).copied();
            let near = did_you_mean(&extension, all()).filter(|_| !extension.is_empty());
            let near = near.map_or_else(String::new, |near| format!(" (did you mean \".{near}\"?)"));
            ConnectError::BadOption {
                kind: "file".to_owned(),
                option: "path".to_owned(),
                expected: format!(
                    "a path that ends in one of .{}, text also in .gz or .zst behind it",
                    all().collect::<Vec<_>>().join(", .")
                ),
                found: format!("\"{}\"{near}", path.display()),
            }
        })
    }

    fn source(self, options: &Options<'_>, stores: &Arc<dyn Stores>) -> Result<FileSource, ConnectError> {
        let path = Location::new(options.required("path", INPUT_PATH)?, stores.clone());
        match self {
            Kind::Csv => {
                options.only(&[TEXT_OPTIONS, &["header", "delimiter"]].concat())?;
                let defaults = CsvOptions::default();
                let header = options.parse("header", "true or false")?.unwrap_or(defaults.header);
                let delimiter = delimiter(options)?.unwrap_or(defaults.delimiter);
                FileSource::csv(path, CsvOptions { header, delimiter, text: text_options(options, stores)? })
            }
            Kind::Ndjson => {
                options.only(TEXT_OPTIONS)?;
                FileSource::ndjson(path, NdjsonOptions { text: text_options(options, stores)? })
            }
            Kind::Arrow => {
                options.only(TYPED_OPTIONS)?;
                FileSource::arrow(path).and_then(|source| not_null(source, options))
            }
            Kind::Parquet => {
                options.only(TYPED_OPTIONS)?;
                FileSource::parquet(path).and_then(|source| not_null(source, options))
            }
        }
    }

    fn sink(self, options: &Options<'_>, stores: &Arc<dyn Stores>) -> Result<FileSink, ConnectError> {
        let path = Location::new(options.required("path", OUTPUT_PATH)?, stores.clone());
        match self {
            Kind::Csv | Kind::Ndjson => options.only(&["path", "compression"])?,
            Kind::Arrow | Kind::Parquet => options.only(&["path"])?,
        }
        match self {
            Kind::Csv => FileSink::csv(path, compression(options)?),
            Kind::Ndjson => FileSink::ndjson(path, compression(options)?),
            Kind::Arrow => FileSink::arrow(path),
            Kind::Parquet => FileSink::parquet(path),
        }
    }
}

impl FileSink {
    /// A sink in the format of the path's extension: `.csv`, `.ndjson` (also `.jsonl`), `.arrow`
    /// (`.arrows`, `.ipc`, `.feather`), `.parquet` (`.pq`), text also with `.gz` or `.zst` behind that. A
    /// folder holds NDJSON.
    ///
    /// # Errors
    /// [`ConnectError::BadOption`] for another extension, or none; [`ConnectError::NotFound`] when the
    /// folder of a file does not exist.
    pub fn of_path(location: impl Into<Location>) -> Result<Self, ConnectError> {
        let location = location.into();
        let path = location.path();
        if path.to_string_lossy().ends_with('/') {
            return Self::ndjson(location, None);
        }
        match Kind::of_path(path)? {
            Kind::Csv => Self::csv(location, None),
            Kind::Ndjson => Self::ndjson(location, None),
            Kind::Arrow => Self::arrow(location),
            Kind::Parquet => Self::parquet(location),
        }
    }
}

fn delimiter(options: &Options<'_>) -> Result<Option<u8>, ConnectError> {
    match options.get("delimiter").map(str::as_bytes) {
        None => Ok(None),
        Some([byte]) if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(Some(*byte)),
        Some(other) => {
            let found = format!("\"{}\"", String::from_utf8_lossy(other));
            Err(options.bad("delimiter", "one ASCII character that is no quote", found))
        }
    }
}

fn compression(options: &Options<'_>) -> Result<Option<Compression>, ConnectError> {
    options.parse("compression", "none, gzip or zstd")
}

fn not_null(source: FileSource, options: &Options<'_>) -> Result<FileSource, ConnectError> {
    let names = options.get("not_null").map(parse_names).transpose();
    match names.map_err(|found| options.bad("not_null", "columns such as \"id, at\"", found))? {
        None => Ok(source),
        Some(names) => source.not_null(&names).map_err(|(source, missing)| {
            let schema = source.schema();
            let known = || schema.fields().iter().map(|field| field.name().as_str());
            let near = did_you_mean(&missing, known());
            let near = near.map_or_else(String::new, |near| format!(" (did you mean \"{near}\"?)"));
            let expected = format!("some of the columns {}", list_names(known()));
            options.bad("not_null", expected, format!("\"{missing}\"{near}"))
        }),
    }
}

fn text_options(options: &Options<'_>, stores: &Arc<dyn Stores>) -> Result<TextOptions, ConnectError> {
    const COLUMNS: &str = "columns such as \"id int64 not null, at timestamp(us, UTC)\"";
    let schema = options.get("schema").map(parse_columns).transpose();
    let max: Option<u64> = options.parse("max_dead_letters", "a number of records")?;
    let aside = options.get("dead_letters").map(|path| Location::new(path, stores.clone()));
    let dead_letters = aside.map(|path| DeadLetterOptions { path, max });
    if dead_letters.is_none() && max.is_some() {
        return Err(options.bad("dead_letters", "a path for the dead letters that are limited", "nothing"));
    }
    Ok(TextOptions {
        schema: schema.map_err(|found| options.bad("schema", COLUMNS, found))?,
        infer_rows: options.parse("infer_rows", "a number of rows")?,
        max_record_bytes: options.parse("max_record_bytes", "a number of bytes")?,
        compression: compression(options)?,
        dead_letters,
    })
}

/// Adds the sources and sinks of this crate: `csv`, `ndjson`, `arrow`, `parquet`, and `file`, which is the
/// one that the extension of its path names.
///
/// All have the option `path`. As a source, text has `schema` (see [`parse_columns`]; inferred without it),
/// `infer_rows` (1000), `max_record_bytes` (2 MiB for CSV, 16 MiB for NDJSON), `compression` (`none`,
/// `gzip`, `zstd`; what the name ends in without it), `dead_letters` (a path) and `max_dead_letters`; CSV
/// has `header` (`true`) and `delimiter` (one ASCII character) besides. Arrow and Parquet have `not_null`, columns
/// in which a null is an error. As a sink, text has `compression`.
/// URLs are paths too: those with the scheme `file` always, others as far as `stores` know them.
pub fn register(registry: &mut ConnectorRegistry, stores: &Arc<dyn Stores>) {
    for kind in Kind::ALL {
        registry.add_source(Arc::new(Factory { kind: Some(kind), stores: stores.clone() }));
        registry.add_sink(Arc::new(Factory { kind: Some(kind), stores: stores.clone() }));
    }
    registry.add_source(Arc::new(Factory { kind: None, stores: stores.clone() }));
    registry.add_sink(Arc::new(Factory { kind: None, stores: stores.clone() }));
}

/// Makes files of a kind, or of the kind that the path's extension names.
#[derive(Debug)]
struct Factory {
    kind: Option<Kind>,
    stores: Arc<dyn Stores>,
}

impl Factory {
    fn name(&self) -> &'static str {
        self.kind.map_or("file", Kind::name)
    }

    fn kind_of(&self, options: &Options<'_>, expected: &str) -> Result<Kind, ConnectError> {
        match self.kind {
            Some(kind) => Ok(kind),
            None => Kind::of_path(Path::new(options.required("path", expected)?)),
        }
    }
}

impl SourceFactory for Factory {
    fn kind(&self) -> &'static str {
        self.name()
    }

    fn create(&self, options: &Options<'_>) -> Result<Arc<dyn Source>, ConnectError> {
        Ok(Arc::new(self.kind_of(options, INPUT_PATH)?.source(options, &self.stores)?))
    }
}

impl SinkFactory for Factory {
    fn kind(&self) -> &'static str {
        self.name()
    }

    fn create(&self, options: &Options<'_>) -> Result<Arc<dyn Sink>, ConnectError> {
        Ok(Arc::new(self.kind_of(options, OUTPUT_PATH)?.sink(options, &self.stores)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn registry() -> ConnectorRegistry {
        let mut registry = ConnectorRegistry::new();
        let stores: Arc<dyn Stores> = Arc::new(crate::DiskOnly);
        register(&mut registry, &stores);
        registry
    }

    #[test]
    fn files_are_opened_by_kind_and_options() {
        let registry = registry();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "1;2\n").unwrap();
        let path = path.to_str().unwrap();
        let csv = options(&[("path", path), ("header", "false"), ("delimiter", ";"), ("infer_rows", "5")]);
        assert_eq!(registry.source("csv", &csv).unwrap().schema().fields().len(), 2);
        let given = options(&[("path", path), ("header", "false"), ("schema", "a utf8, b date32 not null")]);
        let source = registry.source("file", &given).unwrap();
        assert!(!source.schema().field(1).is_nullable());
        let message = |kind: &str, pairs: &[(&str, &str)]| {
            registry.source(kind, &options(pairs)).unwrap_err().to_string()
        };
        assert!(message("parquet", &[("path", path)]).contains("is not a readable Parquet file"));
        assert!(message("csv", &[("path", path), ("not_null", "a")]).contains("not_null"));
        let nothing = message("csv", &[]);
        assert!(
            nothing.contains("option \"path\": expected a file, a folder") && nothing.ends_with("nothing")
        );
        assert!(message("csv", &[("path", path), ("delimiter", "ab")]).contains("one ASCII character"));
        assert!(
            message("csv", &[("path", path), ("delimeter", ";")]).contains("did you mean \"delimiter\"?")
        );
        assert!(message("csv", &[("path", path), ("schema", "a int65")]).ends_with("found \"a int65\""));
        assert!(message("csv", &[("path", path), ("compression", "lz4")]).contains("none, gzip or zstd"));
        assert!(message("csv", &[("path", path), ("max_dead_letters", "4")]).contains("a path for the dead"));
        assert!(message("ndjson", &[("path", path), ("header", "true")]).contains("does not exist"));
        assert!(message("jsno", &[]).ends_with("kinds: arrow, csv, file, generator, ndjson, parquet"));
        for kind in ["csv", "ndjson", "arrow", "parquet"] {
            let out = folder.path().join(format!("out.{kind}"));
            for by in [kind, "file"] {
                let sink = registry.sink(by, &options(&[("path", out.to_str().unwrap())])).unwrap();
                assert_eq!(sink.name(), out.to_str().unwrap());
            }
        }
    }

    #[test]
    fn a_path_has_the_format_of_its_extension() {
        for (path, kind) in [
            ("a.csv", Kind::Csv),
            ("a.CSV.gz", Kind::Csv),
            ("b/*.jsonl.zst", Kind::Ndjson),
            ("a.feather", Kind::Arrow),
            ("a.b.pq", Kind::Parquet),
        ] {
            assert_eq!(Kind::of_path(Path::new(path)).unwrap(), kind);
        }
        let near = Kind::of_path(Path::new("a.parqet")).unwrap_err().to_string();
        assert!(near.ends_with("found \"a.parqet\" (did you mean \".parquet\"?)"), "{near}");
        for path in ["a", "-", "a.gz"] {
            assert!(Kind::of_path(Path::new(path)).unwrap_err().to_string().contains("ends in one of .csv"));
        }
        let registry = registry();
        let out = |pairs: &[(&str, &str)]| registry.sink("file", &options(pairs));
        let inside = out(&[("path", "a.parquet.gz")]).unwrap_err().to_string();
        assert!(inside.contains("compresses inside of the file"), "{inside}");
        assert!(registry.sink("csv", &options(&[("path", "-")])).is_ok());
        let end = registry.sink("parquet", &options(&[("path", "-")])).unwrap_err().to_string();
        assert!(end.contains("no place for rows before its end"), "{end}");
        let piped = registry.sink("csv", &options(&[("path", "-"), ("compression", "gzip")])).unwrap_err();
        assert!(piped.to_string().contains("piped through the tool"), "{piped}");
    }
}
