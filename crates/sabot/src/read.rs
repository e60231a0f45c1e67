//! What a stream can be read from and written to.
//!
//! Files are named by kind and options, so that a plan stays data; channels, batches in memory and
//! sources of the user's own stand in a plan as slots.

use arrow::datatypes::Schema;
use sabot_connect::{
    ChannelReceiver, ChannelSink, CollectSink, Collected, ConnectError, ConnectorRegistry, Sink, Source,
    output_channel,
};
use sabot_exec::Bindings;
use sabot_plan::Connector;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Result;
use crate::connectors::{UrlStores, opener, registry};
use crate::stream::fresh_slot;

/// Something that [`Stream::read`](crate::Stream::read) can read.
///
/// ```
/// # use sabot::prelude::*;
/// # use sabot::ReadFrom;
/// fn columns(source: impl ReadFrom) -> sabot::Result<usize> {
///     let (_connector, source, _bindings) = source.open()?;
///     Ok(source.schema().fields().len())
/// }
/// assert_eq!(columns(csv("data/flights.csv"))?, 3);
/// # Ok::<(), sabot::Error>(())
/// ```
pub trait ReadFrom {
    /// Opens it far enough to know its schema.
    ///
    /// # Errors
    /// [`ConnectError`](crate::ConnectError) when it does not exist or cannot be read.
    fn open(self) -> Result<(Connector, Arc<dyn Source>, Bindings)>;
}

/// Something that [`Job::write`](crate::Job::write) can write to.
///
/// ```
/// # use sabot::prelude::*;
/// # use sabot::WriteTo;
/// fn copy(sink: impl WriteTo) -> sabot::Result<u64> {
///     let connect = sink.open()?;
///     assert!(format!("{connect:?}").contains("memory"));
///     let flights = Stream::read(csv("data/flights.csv"))?;
///     Ok(Job::new("copy").write(&flights, to_memory().0)?.run()?.rows_written)
/// }
/// assert_eq!(copy(to_memory().0)?, 4);
/// # Ok::<(), sabot::Error>(())
/// ```
pub trait WriteTo {
    /// Makes the sink; nothing is touched before the job starts.
    ///
    /// # Errors
    /// [`ConnectError`](crate::ConnectError) when it cannot be what was asked for.
    fn open(self) -> Result<Connect>;
}

/// A sink as a job takes it.
///
/// ```
/// # use sabot::prelude::*;
/// # use sabot::{Connect, WriteTo};
/// let connect: Connect = WriteTo::open(csv("out.csv"))?;
/// assert!(format!("{connect:?}").contains("out.csv")); // nothing was written yet
/// # Ok::<(), sabot::Error>(())
/// ```
#[derive(Debug)]
pub struct Connect {
    pub(crate) connector: Connector,
    pub(crate) sink: Arc<dyn Sink>,
    /// What opens the sink again when the job starts, unless it stands in a slot.
    pub(crate) registry: Option<Arc<ConnectorRegistry>>,
    /// What the user called, for sinks that need all rows first.
    pub(crate) collects: Option<String>,
}

/// A file, or a folder of files, by kind, path and options.
///
/// ```
/// # use sabot::prelude::*;
/// # let path = std::env::temp_dir().join(format!("sabot-doc-options-{}.csv", std::process::id()));
/// std::fs::write(&path, "origin;delay\nSFO;12\n")?;
/// let input = csv(&path).option("delimiter", ";");
/// assert_eq!(Stream::read(input)?.schema().field(1).name(), "delay");
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct FileOptions {
    kind: String,
    options: BTreeMap<String, String>,
    /// A path that no option can hold, for options are text.
    not_utf8: Option<PathBuf>,
    /// Those that were given; without, what the environment says.
    stores: Option<UrlStores>,
}

/// CSV with a header: a file, a folder of files, a pattern such as `flights-*.csv`, or `-`, the standard
/// input. As a sink, a file, a folder if the path ends in `/`, or `-`, the standard output. Names that end
/// in `.gz` or `.zst` are compressed. A URL is a path too: `file:///data/flights.csv`, and with the feature
/// `object-store` also `s3://bucket/flights-*.csv` and its like.
///
/// As a source it has the options `header` (`true`), `delimiter` (`,`), `infer_rows` (1000),
/// `max_record_bytes` (2 MiB), `compression` (`none`, `gzip`, `zstd`), `schema`, `dead_letters` and
/// `max_dead_letters`; as a sink `compression`.
///
/// ```
/// # use sabot::prelude::*;
/// assert_eq!(Stream::read(csv("data/flights.csv"))?.schema().field(0).name(), "date");
/// # Ok::<(), sabot::Error>(())
/// ```
pub fn csv(path: impl AsRef<Path>) -> FileOptions {
    connector("csv").path("path", path.as_ref())
}

/// Newline-delimited JSON, an object a line; paths and options as for [`csv`], without those of a header.
///
/// ```
/// # use sabot::prelude::*;
/// # let path = std::env::temp_dir().join(format!("sabot-doc-ndjson-{}.ndjson", std::process::id()));
/// std::fs::write(&path, "{\"origin\":\"SFO\",\"delay\":12}\n{\"origin\":\"JFK\"}\n")?;
/// let delays = Stream::read(ndjson(&path))?;
/// assert_eq!(delays.schema().field(1).data_type(), &DataType::Int64);
/// assert_eq!(delays.filter(col("delay").is_null())?.collect()?[0].num_rows(), 1);
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn ndjson(path: impl AsRef<Path>) -> FileOptions {
    connector("ndjson").path("path", path.as_ref())
}

/// Arrow IPC: a file or a stream, told apart by its first bytes. As a sink, `.arrows` and `-` are streams,
/// everything else is a file.
///
/// ```
/// # use sabot::prelude::*;
/// # let path = std::env::temp_dir().join(format!("sabot-doc-arrow-{}.arrow", std::process::id()));
/// let flights = Stream::read(csv("data/flights.csv"))?;
/// Job::new("convert").write(&flights, arrow_ipc(&path))?.run()?;
/// assert_eq!(Stream::read(arrow_ipc(&path))?.collect()?[0].num_rows(), 4);
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn arrow_ipc(path: impl AsRef<Path>) -> FileOptions {
    connector("arrow").path("path", path.as_ref())
}

/// A file in the format that its extension names: `.csv`, `.ndjson` (`.jsonl`), `.arrow` (`.arrows`,
/// `.ipc`, `.feather`), `.parquet` (`.pq`), text also compressed, `.csv.gz`, `.ndjson.zst`.
///
/// ```
/// # use sabot::prelude::*;
/// # let path = std::env::temp_dir().join(format!("sabot-doc-file-{}.ndjson.gz", std::process::id()));
/// let flights = Stream::read(file("data/flights.csv"))?;
/// Job::new("convert").write(&flights, file(&path))?.run()?;
/// assert_eq!(Stream::read(file(&path))?.collect()?[0].num_rows(), 4);
/// # std::fs::remove_file(&path)?;
/// let typo = Stream::read(file("flights.cvs")).unwrap_err().to_string();
/// assert!(typo.contains("did you mean \".csv\"?"), "{typo}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn file(path: impl AsRef<Path>) -> FileOptions {
    connector("file").path("path", path.as_ref())
}

/// A Parquet file, a folder of files, or a pattern. As a sink, a path that ends in `/` is a folder.
///
/// ```
/// # use sabot::prelude::*;
/// # let path = std::env::temp_dir().join(format!("sabot-doc-parquet-{}.parquet", std::process::id()));
/// let flights = Stream::read(csv("data/flights.csv"))?;
/// Job::new("convert").write(&flights, parquet(&path))?.run()?;
/// assert_eq!(Stream::read(parquet(&path))?.collect()?[0].num_rows(), 4);
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn parquet(path: impl AsRef<Path>) -> FileOptions {
    connector("parquet").path("path", path.as_ref())
}

/// Rows made up from a seed; see `GeneratorSource` for the options.
///
/// ```
/// # use sabot::prelude::*;
/// let made = sabot::generator().option("columns", "id sequence(0, 1); delay int(-10, 60)").option("rows", "1000");
/// let delays = Stream::read(made)?.select([col("delay")])?.collect()?;
/// assert_eq!(delays.iter().map(|batch| batch.num_rows()).sum::<usize>(), 1000);
/// # Ok::<(), sabot::Error>(())
/// ```
pub fn generator() -> FileOptions {
    connector("generator")
}

/// A connector by kind; add its options.
///
/// ```
/// # use sabot::prelude::*;
/// let same = sabot::connector("csv").option("path", "data/flights.csv");
/// assert_eq!(same, csv("data/flights.csv"));
/// let typo = Stream::read(sabot::connector("cvs")).unwrap_err().to_string();
/// assert!(typo.contains("did you mean \"csv\"?"), "{typo}");
/// # Ok::<(), sabot::Error>(())
/// ```
pub fn connector(kind: impl Into<String>) -> FileOptions {
    FileOptions { kind: kind.into(), options: BTreeMap::new(), not_utf8: None, stores: None }
}

impl FileOptions {
    /// Sets an option of the connector.
    pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.insert(name.into(), value.into());
        self
    }

    fn path(self, name: &str, path: &Path) -> Self {
        match path.to_str() {
            Some(text) => self.option(name, text),
            None => Self { not_utf8: Some(path.to_owned()), ..self },
        }
    }

    /// Gives the columns of text instead of inferring them.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// # use arrow::datatypes::{Field, Schema};
    /// # use sabot::arrow;
    /// let columns = Schema::new(vec![
    ///     Field::new("date", DataType::Utf8, false),
    ///     Field::new("origin", DataType::Utf8, false),
    ///     Field::new("delay", DataType::Float64, true),
    /// ]);
    /// let flights = Stream::read(csv("data/flights.csv").schema(&columns))?;
    /// assert_eq!(flights.schema().field(2).data_type(), &DataType::Float64);
    /// let same = csv("data/flights.csv").option("schema", "date utf8 not null, origin utf8 not null, delay float64");
    /// assert_eq!(same, csv("data/flights.csv").schema(&columns));
    /// # Ok::<(), sabot::Error>(())
    /// ```
    pub fn schema(self, schema: &Schema) -> Self {
        self.option("schema", sabot_files::columns_text(schema))
    }

    /// Makes a null in one of these columns of Arrow or Parquet an error, with the file and the row. Of text
    /// [`schema`](FileOptions::schema) says the same.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// # let path = std::env::temp_dir().join(format!("sabot-doc-null-{}.parquet", std::process::id()));
    /// # let columns = "date utf8, origin utf8, delay float64";
    /// # let flights = Stream::read(csv("data/flights.csv").option("schema", columns))?;
    /// # Job::new("copy").write(&flights.select([col("origin"), col("delay")])?, parquet(&path))?.run()?;
    /// let flights = Stream::read(parquet(&path).not_null(["origin"]))?;
    /// assert!(!flights.schema().field(0).is_nullable() && flights.schema().field(1).is_nullable());
    /// assert_eq!(flights.collect()?[0].num_rows(), 4);
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn not_null<'a>(self, columns: impl IntoIterator<Item = &'a str>) -> Self {
        self.option("not_null", sabot_files::names_text(columns))
    }

    /// Puts records of text that cannot be read into a file of their own, in the format of its extension,
    /// instead of failing on the first one. The file appears with the job's outputs. Its rows say `file`,
    /// `record`, `offset`, `column` and `reason`, and have the record itself as `text`, or as `base64` where
    /// it is no UTF-8; [`JobMetrics::dead_letters`](crate::JobMetrics::dead_letters) counts them. All columns
    /// are checked then, whether somebody reads them or not. Give a schema too: where types are inferred, a
    /// wrong value among the first records makes its whole column text.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// # let folder = std::env::temp_dir().join(format!("sabot-doc-dead-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// let (input, dead) = (folder.join("delays.csv"), folder.join("dead.ndjson"));
    /// std::fs::write(&input, "origin,delay\nSFO,12\nJFK,soon\nSFO,31\n")?;
    /// let delays = Stream::read(csv(&input).option("schema", "origin utf8, delay int64").dead_letters(&dead))?;
    /// let (sink, rows) = to_memory();
    /// let metrics = Job::new("delays").write(&delays, sink)?.run()?;
    /// assert_eq!((metrics.rows_read, metrics.dead_letters), (2, 1));
    /// assert_eq!(rows.take().iter().map(|batch| batch.num_rows()).sum::<usize>(), 2);
    /// let letter = std::fs::read_to_string(&dead)?;
    /// assert!(letter.contains(r#""record":2"#) && letter.contains(r#""text":"JFK,soon\n""#), "{letter}");
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn dead_letters(self, path: impl AsRef<Path>) -> Self {
        self.path("dead_letters", path.as_ref())
    }

    /// Reads and writes URLs with these stores: their credentials, options and connections, and what lies in
    /// their memory. Without them a URL is reached with what the environment says. Plans hold no options of
    /// stores; they name the stores, so that the same URL with two of them is two places.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// use sabot::ObjectStores;
    /// let stores = ObjectStores::with_options([("aws_region", "eu-west-1"), ("max_retries", "5")]);
    /// let flights = Stream::read(csv("data/flights.csv"))?;
    /// Job::new("up").write(&flights, parquet("memory://flights/all.parquet").stores(&stores))?.run()?;
    /// let again = Stream::read(parquet("memory://flights/*.parquet").stores(&stores))?;
    /// assert_eq!(again.collect()?[0].num_rows(), 4);
    /// # Ok::<(), sabot::Error>(())
    /// ```
    #[cfg(feature = "object-store")]
    pub fn stores(self, stores: &sabot_object_store::ObjectStores) -> Self {
        Self { stores: Some(stores.clone()), ..self }
    }

    fn connector(&self) -> Result<Connector> {
        if let Some(path) = &self.not_utf8 {
            return Err(ConnectError::NameNotUtf8 { path: path.clone() }.into());
        }
        let opener = self.stores.as_ref().and_then(opener);
        Ok(Connector::Registered { kind: self.kind.clone(), options: self.options.clone(), opener })
    }
}

impl ReadFrom for FileOptions {
    fn open(self) -> Result<(Connector, Arc<dyn Source>, Bindings)> {
        let connector = self.connector()?;
        let registry = Arc::new(registry(self.stores.unwrap_or_default()));
        let source = registry.source(&self.kind, &self.options)?;
        let mut bindings = Bindings::default();
        bindings.open_with(&connector, registry);
        bindings.opened.insert(connector.clone(), source.clone());
        Ok((connector, source, bindings))
    }
}

impl WriteTo for FileOptions {
    fn open(self) -> Result<Connect> {
        let connector = self.connector()?;
        let registry = Arc::new(registry(self.stores.unwrap_or_default()));
        let sink = registry.sink(&self.kind, &self.options)?;
        Ok(Connect { connector, sink, registry: Some(registry), collects: None })
    }
}

impl ReadFrom for Arc<dyn Source> {
    fn open(self) -> Result<(Connector, Arc<dyn Source>, Bindings)> {
        // The source's own name would do if two sources could not share it.
        let slot = fresh_slot(&self.name());
        Ok((Connector::Slot(slot), self, Bindings::default()))
    }
}

impl WriteTo for Arc<dyn Sink> {
    fn open(self) -> Result<Connect> {
        let connector = Connector::Slot(fresh_slot(&self.name()));
        Ok(Connect { connector, sink: self, registry: None, collects: None })
    }
}

/// The sending end of a channel that a job writes to.
///
/// ```
/// # use sabot::prelude::*;
/// let flights = Stream::read(csv("data/flights.csv"))?;
/// let (sink, mut results) = to_channel(4);
/// let job = Job::new("copy").write(&flights, sink)?.start()?;
/// assert_eq!(results.recv_blocking()?.map(|batch| batch.num_rows()), Some(4));
/// assert_eq!(results.recv_blocking()?, None);
/// job.wait()?;
/// # Ok::<(), sabot::Error>(())
/// ```
#[derive(Debug)]
pub struct ToChannel(ChannelSink);

/// A channel as a sink, and the end from which a program takes the batches. It holds `capacity`
/// batches; then the job waits.
///
/// ```
/// # use sabot::prelude::*;
/// let (sink, mut results) = to_channel(4);
/// let late = Stream::read(csv("data/flights.csv"))?.filter(col("delay").gt(15))?;
/// let _job = Job::new("late").write(&late, sink)?.start()?;
/// assert_eq!(results.recv_blocking()?.map(|batch| batch.num_rows()), Some(2));
/// # Ok::<(), sabot::Error>(())
/// ```
pub fn to_channel(capacity: usize) -> (ToChannel, ChannelReceiver) {
    let (sink, receiver) = output_channel("channel", capacity);
    (ToChannel(sink), receiver)
}

impl WriteTo for ToChannel {
    fn open(self) -> Result<Connect> {
        WriteTo::open(Arc::new(self.0) as Arc<dyn Sink>)
    }
}

/// Memory as a sink.
///
/// ```
/// # use sabot::prelude::*;
/// let (sink, rows) = to_memory();
/// Job::new("copy").write(&Stream::read(csv("data/flights.csv"))?, sink)?.run()?;
/// assert_eq!(rows.take()[0].num_rows(), 4);
/// # Ok::<(), sabot::Error>(())
/// ```
#[derive(Debug)]
pub struct ToMemory(CollectSink);

/// Memory as a sink, and where its rows are found, in order, once the job has ended well.
///
/// ```
/// # use sabot::prelude::*;
/// let (sink, rows) = to_memory();
/// let job = Job::new("copy").write(&Stream::read(csv("data/flights.csv"))?, sink)?;
/// assert!(rows.take().is_empty()); // nothing ran yet
/// job.run()?;
/// assert_eq!(rows.take()[0].num_columns(), 3);
/// # Ok::<(), sabot::Error>(())
/// ```
pub fn to_memory() -> (ToMemory, Collected) {
    let (sink, rows) = CollectSink::new("memory");
    (ToMemory(sink), rows)
}

impl WriteTo for ToMemory {
    fn open(self) -> Result<Connect> {
        WriteTo::open(CollectInto::new(self.0, "to_memory"))
    }
}

/// The sink behind `collect`, `show` and `explain`.
pub(crate) struct CollectInto {
    sink: CollectSink,
    called: Option<&'static str>,
}

impl CollectInto {
    pub(crate) fn new(sink: CollectSink, called: &'static str) -> Self {
        Self { sink, called: Some(called) }
    }

    /// A sink for a plan that is only looked at.
    pub(crate) fn explained() -> Self {
        Self { sink: CollectSink::new("output").0, called: None }
    }
}

impl WriteTo for CollectInto {
    fn open(self) -> Result<Connect> {
        let connect = WriteTo::open(Arc::new(self.sink) as Arc<dyn Sink>)?;
        Ok(Connect { collects: self.called.map(str::to_owned), ..connect })
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::Error;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn a_path_that_is_no_text_is_refused_and_not_changed() {
        let path = Path::new(OsStr::from_bytes(b"a\xff.csv"));
        let opened = |options: FileOptions| ReadFrom::open(options).map(drop);
        for refused in [
            opened(csv(path)),
            opened(csv("a.csv").dead_letters(path)),
            WriteTo::open(parquet(path)).map(drop),
        ] {
            match refused {
                Err(Error::Connect(ConnectError::NameNotUtf8 { path: named })) => assert_eq!(named, path),
                other => panic!("{other:?}"),
            }
        }
    }
}
