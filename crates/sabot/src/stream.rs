//! Streams: pipelines under construction, as values.

use arrow::array::RecordBatchReader;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches_with_schema;
use sabot_connect::{ChannelSource, CollectSink, MemorySource, ReaderSource, Source};
use sabot_exec::Bindings;
use sabot_expr::{Expr, FunctionRegistry};
use sabot_plan::{
    Boundedness, ChangeMode, Connector, IntoKey, NodeRef, Plan, PlanBuilder, SinkRequest, SourceRequest,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::execute::BatchStream;
use crate::read::ReadFrom;
use crate::window::{Grouped, Window, Windowed};
use crate::{Engine, EventTimeOptions, Job, Result};

/// A bounded or unbounded sequence of rows, described and not yet run.
///
/// Streams are values: cloning one and continuing it twice makes a fork, and when both ends run in one
/// [`Job`], the work up to the fork is done once. Every method checks at once what it is asked for; a
/// pipeline that could be built can be run.
///
/// ```
/// # use sabot::prelude::*;
/// let flights = Stream::read(csv("data/flights.csv"))?;
/// let late = flights.clone().filter(col("delay").gt(15))?;
/// let early = flights.clone().filter(col("delay").lt(0))?;
/// assert_eq!((late.collect()?[0].num_rows(), early.collect()?[0].num_rows()), (2, 1));
/// assert!(flights.filter(col("dealy").gt(15)).is_err());
/// # Ok::<(), sabot::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Stream {
    node: NodeRef,
    builder: PlanBuilder,
    bindings: Bindings,
}

/// A name for a slot that no other slot of the process has.
pub(crate) fn fresh_slot(kind: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{kind}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Stream {
    /// Reads a source: `csv("flights.csv")`, `parquet("flights.parquet")`.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let flights = Stream::read(csv("data/flights.csv"))?;
    /// assert_eq!(flights.schema().field(2).data_type(), &DataType::Int64);
    /// # Ok::<(), sabot::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the source does not exist, cannot be read, or has a type that Sabot does not know.
    pub fn read(source: impl ReadFrom) -> Result<Self> {
        Self::read_with(source, &Arc::default())
    }

    /// As [`Stream::read`], with functions that expressions may [`call`](crate::call).
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// # use sabot::{ClosureFunction, FunctionRegistry, call};
    /// # use std::sync::Arc;
    /// let same = ClosureFunction::new("same", 1, [DataType::Int64], DataType::Int64, |a, _rows| Ok(a[0].clone()));
    /// let mut functions = FunctionRegistry::new();
    /// functions.register(Arc::new(same))?;
    /// let flights = Stream::read_with(csv("data/flights.csv"), &Arc::new(functions))?;
    /// let same = flights.select([call("same", 1, [col("delay")]).alias("delay")])?;
    /// assert_eq!(same.collect()?[0].num_rows(), 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Stream::read`].
    pub fn read_with(source: impl ReadFrom, functions: &Arc<FunctionRegistry>) -> Result<Self> {
        let (connector, source, mut bindings) = source.open()?;
        if let Connector::Slot(slot) = &connector {
            bindings.sources.insert(slot.clone(), source.clone());
        }
        let builder = PlanBuilder::with_functions(functions.clone());
        let request = SourceRequest {
            connector,
            schema: source.schema(),
            boundedness: match source.boundedness() {
                sabot_connect::Boundedness::Bounded => Boundedness::Bounded,
                sabot_connect::Boundedness::Unbounded => Boundedness::Unbounded,
            },
            replayable: source.replayable(),
            changes: ChangeMode::AppendOnly,
            grows: source.may_grow(),
            name: None,
        };
        Ok(Self { node: builder.source(request)?, builder, bindings })
    }

    /// Rows that are in memory already, as one partition. They must agree in schema.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// # use std::sync::Arc;
    /// # use arrow::array::{ArrayRef, Int64Array};
    /// let batch = RecordBatch::try_from_iter([("x", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)])?;
    /// let stream = Stream::from_batches([batch.clone(), batch])?;
    /// assert_eq!(stream.filter(col("x").gt(1))?.collect()?.iter().map(|b| b.num_rows()).sum::<usize>(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When there is no batch, so that there is no schema either, or schemas differ.
    pub fn from_batches(batches: impl IntoIterator<Item = RecordBatch>) -> Result<Self> {
        let batches: Vec<RecordBatch> = batches.into_iter().collect();
        let schema =
            batches.first().map_or_else(|| Arc::new(arrow::datatypes::Schema::empty()), RecordBatch::schema);
        Self::from_partitions(schema, vec![batches])
    }

    /// Rows that are in memory already, as partitions.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// # use std::sync::Arc;
    /// # use arrow::array::{ArrayRef, Int64Array};
    /// # let batch = RecordBatch::try_from_iter([("x", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)])?;
    /// let stream = Stream::from_partitions(batch.schema(), vec![vec![batch.clone()], vec![batch]])?;
    /// assert_eq!(stream.collect()?.iter().map(|b| b.num_rows()).sum::<usize>(), 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a batch does not have this schema.
    pub fn from_partitions(schema: SchemaRef, partitions: Vec<Vec<RecordBatch>>) -> Result<Self> {
        let source = MemorySource::new(fresh_slot("batches"), schema, partitions)?;
        Self::from_source(Arc::new(source))
    }

    /// Rows from anything that reads record batches. They can be read by one job only.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// # use std::sync::Arc;
    /// # use arrow::array::{ArrayRef, Int64Array, RecordBatchIterator};
    /// # let batch = RecordBatch::try_from_iter([("x", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)])?;
    /// let schema = batch.schema();
    /// let stream = Stream::from_reader(RecordBatchIterator::new([Ok(batch)], schema))?;
    /// assert_eq!(stream.collect()?[0].num_rows(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a type is not known.
    pub fn from_reader(reader: impl RecordBatchReader + Send + 'static) -> Result<Self> {
        Self::from_source(Arc::new(ReaderSource::new(fresh_slot("reader"), Box::new(reader))))
    }

    /// Rows that a program sends through a channel; unbounded. They can be read by one job only.
    ///
    /// ```
    /// use sabot::prelude::*;
    /// # use std::sync::Arc;
    /// # use arrow::array::{ArrayRef, Int64Array};
    /// # let batch = RecordBatch::try_from_iter([("x", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)])?;
    /// let (sender, source) = input_channel("orders", 4, batch.schema());
    /// let (sink, mut results) = to_channel(4);
    /// let doubled = Stream::from_channel(source)?.select([(col("x") * lit(2)).alias("y")])?;
    /// let job = Job::new("double").write(&doubled, sink)?.start()?;
    /// sender.send_blocking(batch)?;
    /// drop(sender);
    /// assert_eq!(results.recv_blocking()?.map(|b| b.num_rows()), Some(2));
    /// job.wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a type is not known.
    pub fn from_channel(source: ChannelSource) -> Result<Self> {
        Self::from_source(Arc::new(source))
    }

    /// Rows of a source of your own.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// # use sabot::ReadFrom;
    /// let (_, source, _) = csv("data/flights.csv").open()?; // or any other Arc<dyn Source>
    /// assert_eq!(Stream::from_source(source)?.collect()?[0].num_rows(), 4);
    /// # Ok::<(), sabot::Error>(())
    /// ```
    ///
    /// # Errors
    /// When a type is not known.
    pub fn from_source(source: Arc<dyn Source>) -> Result<Self> {
        Self::read(source)
    }

    /// Makes functions known that expressions from here on may [`call`](crate::call).
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// # use sabot::{ClosureFunction, FunctionRegistry, call};
    /// # use std::sync::Arc;
    /// # let same = ClosureFunction::new("same", 1, [DataType::Int64], DataType::Int64, |a, _rows| Ok(a[0].clone()));
    /// # let mut functions = FunctionRegistry::new();
    /// # functions.register(Arc::new(same))?;
    /// let flights = Stream::read(csv("data/flights.csv"))?;
    /// assert!(flights.clone().filter(call("same", 1, [col("delay")]).gt(15)).is_err());
    /// let late = flights.with_functions(Arc::new(functions)).filter(call("same", 1, [col("delay")]).gt(15))?;
    /// assert_eq!(late.collect()?[0].num_rows(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_functions(mut self, functions: Arc<FunctionRegistry>) -> Self {
        self.builder = PlanBuilder::with_functions(functions);
        self
    }

    /// Declares which column is the event time, directly on a source and before any filter.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let flights = Stream::read(csv("data/flights.csv"))?.event_time("date", out_of_orderness(minutes(5)))?;
    /// assert_eq!(flights.time_attribute(), Some("date"));
    /// # Ok::<(), sabot::Error>(())
    /// ```
    ///
    /// # Errors
    /// For an unknown column, one that is no date or timestamp, or a stream that is no source.
    pub fn event_time(self, column: &str, options: EventTimeOptions) -> Result<Self> {
        let node = self.builder.event_time(&self.node, column, options.delay, options.idle_timeout)?;
        Ok(self.with_node(node))
    }

    /// Keeps the rows for which a boolean expression is true; null is not true.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let late = Stream::read(csv("data/flights.csv"))?.filter(col("delay").gt(15))?;
    /// assert_eq!(late.collect()?[0].num_rows(), 2);
    /// # Ok::<(), sabot::Error>(())
    /// ```
    ///
    /// # Errors
    /// For an unknown column or a type error.
    pub fn filter(self, predicate: Expr) -> Result<Self> {
        let node = self.builder.filter(&self.node, &predicate)?;
        Ok(self.with_node(node))
    }

    /// Computes the columns of a new stream.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let hours = Stream::read(csv("data/flights.csv"))?.select([col("date").hour().alias("hour"), col("origin")])?;
    /// assert_eq!(hours.schema().field(0).name(), "hour");
    /// assert_eq!(hours.collect()?[0].num_columns(), 2);
    /// # Ok::<(), sabot::Error>(())
    /// ```
    ///
    /// # Errors
    /// For an unknown column, a type error, or two columns of one name.
    pub fn select(self, columns: impl IntoIterator<Item = Expr>) -> Result<Self> {
        let columns: Vec<Expr> = columns.into_iter().collect();
        let node = self.builder.select(&self.node, &columns)?;
        Ok(self.with_node(node))
    }

    /// Puts rows into windows of event time.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let flights = Stream::read(csv("data/flights.csv"))?.event_time("date", in_order())?;
    /// let hourly = flights.window(tumbling(hours(1)))?.aggregate([count().alias("flights")])?;
    /// assert_eq!(hourly.collect()?[0].num_rows(), 2); // 07:00 to 08:00, and 08:00 to 09:00
    /// # Ok::<(), sabot::Error>(())
    /// ```
    ///
    /// # Errors
    /// Without event time, or for a size or lateness that cannot be.
    pub fn window(self, window: Window) -> Result<Windowed> {
        let window = window.keyed()?;
        self.builder.check_window(&self.node, &window)?;
        Ok(Windowed { stream: self, window })
    }

    /// Groups all rows by columns or expressions; the result comes when the input ends.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let flights = Stream::read(csv("data/flights.csv"))?;
    /// let worst = flights.group_by(["origin"])?.aggregate([max(col("delay")).alias("worst")])?;
    /// assert_eq!(worst.collect()?[0].num_rows(), 2); // SFO and JFK
    /// # Ok::<(), sabot::Error>(())
    /// ```
    ///
    /// # Errors
    /// For an unknown column, a type that cannot be a key, or an unbounded stream.
    pub fn group_by<K: IntoKey>(self, keys: impl IntoIterator<Item = K>) -> Result<Grouped> {
        Grouped::new(self, None, keys)
    }

    /// The rows of both streams.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let flights = Stream::read(csv("data/flights.csv"))?;
    /// let twice = flights.clone().union(&flights)?;
    /// assert_eq!(twice.collect()?.iter().map(|batch| batch.num_rows()).sum::<usize>(), 8);
    /// # Ok::<(), sabot::Error>(())
    /// ```
    ///
    /// # Errors
    /// When their columns differ in name, order or type.
    pub fn union(self, other: &Stream) -> Result<Self> {
        let node = self.builder.union(&self.node, &other.node)?;
        Ok(self.with_node(node).with_bindings_of(other))
    }

    /// Of windowed aggregates: the results, and the rows that came too late for them.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// # use std::sync::Arc;
    /// # use arrow::array::{ArrayRef, TimestampSecondArray};
    /// # let time = |seconds| RecordBatch::try_from_iter([("t", Arc::new(TimestampSecondArray::from(vec![seconds])) as ArrayRef)]);
    /// // Two hours after the epoch comes a row of the first minute.
    /// let rows = Stream::from_batches([time(0)?, time(7200)?, time(60)?])?.event_time("t", in_order())?;
    /// let counted = rows.window(tumbling(hours(1)))?.aggregate([count()])?;
    /// let (counted, late) = counted.split_late()?;
    /// assert_eq!(late.schema().field(0).name(), "t");
    /// assert_eq!(late.collect()?[0].num_rows(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the stream is not the direct result of a windowed aggregation.
    pub fn split_late(self) -> Result<(Stream, Stream)> {
        let node = self.builder.late_rows(&self.node)?;
        let late = self.clone().with_node(node);
        Ok((self, late))
    }

    /// Calls a function on each batch. It must return batches of the declared schema; with as many rows
    /// as it was given, row i keeps the event time of row i. Where rows are cut into batches is up to
    /// the engine.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let flights = Stream::read(csv("data/flights.csv"))?;
    /// let schema = flights.schema().clone();
    /// let one_each = flights.map_batches(schema, |batch| Ok::<_, sabot::Error>(batch.slice(0, 1)))?;
    /// assert_eq!(one_each.collect()?[0].num_rows(), 1);
    /// # Ok::<(), sabot::Error>(())
    /// ```
    ///
    /// # Errors
    /// For a type that is not known. What the function returns at run time is an error of the job.
    pub fn map_batches<F, E>(self, schema: SchemaRef, function: F) -> Result<Self>
    where
        F: Fn(RecordBatch) -> std::result::Result<RecordBatch, E> + Send + Sync + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let slot = fresh_slot("function");
        let node = self.builder.map_batches(&self.node, &slot, &schema)?;
        let mut stream = self.with_node(node);
        let function = move |batch| function(batch).map_err(Into::into);
        stream.bindings.functions.insert(slot, Arc::new(function));
        Ok(stream)
    }

    /// Gives the last operator a stable name, for messages, metrics and state.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let late = Stream::read(csv("data/flights.csv"))?.filter(col("delay").gt(15))?.named("late flights")?;
    /// assert!(late.explain()?.contains("late flights"));
    /// # Ok::<(), sabot::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the name is empty.
    pub fn named(self, name: &str) -> Result<Self> {
        let node = self.builder.named(&self.node, name)?;
        Ok(self.with_node(node))
    }

    /// The columns.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let flights = Stream::read(csv("data/flights.csv"))?;
    /// assert_eq!(flights.schema().field(1).name(), "origin");
    /// # Ok::<(), sabot::Error>(())
    /// ```
    pub fn schema(&self) -> &SchemaRef {
        self.node.schema()
    }

    /// The event-time column, where event time is declared and the column is still there.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let flights = Stream::read(csv("data/flights.csv"))?;
    /// assert_eq!(flights.time_attribute(), None);
    /// assert_eq!(flights.event_time("date", in_order())?.time_attribute(), Some("date"));
    /// # Ok::<(), sabot::Error>(())
    /// ```
    pub fn time_attribute(&self) -> Option<&str> {
        self.node.properties().time.as_ref()?.column.as_deref()
    }

    /// Columns whose values name a row, where they are known.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let flights = Stream::read(csv("data/flights.csv"))?;
    /// assert_eq!(flights.upsert_key(), None);
    /// let counts = flights.group_by(["origin"])?.aggregate([count()])?;
    /// assert_eq!(counts.upsert_key(), Some(&["origin".to_owned()][..]));
    /// # Ok::<(), sabot::Error>(())
    /// ```
    pub fn upsert_key(&self) -> Option<&[String]> {
        self.node.properties().upsert_key.as_deref()
    }

    /// Whether rows may be changed or deleted later.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let flights = Stream::read(csv("data/flights.csv"))?;
    /// assert_eq!(flights.change_mode().to_string(), "append-only");
    /// # Ok::<(), sabot::Error>(())
    /// ```
    pub fn change_mode(&self) -> ChangeMode {
        self.node.properties().produces
    }

    /// Whether the stream ends.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// assert!(Stream::read(csv("data/flights.csv"))?.is_bounded());
    /// # Ok::<(), sabot::Error>(())
    /// ```
    pub fn is_bounded(&self) -> bool {
        self.node.properties().boundedness == Boundedness::Bounded
    }

    /// The plan of this stream, as text: operators with schemas, fragments, devices and why.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let late = Stream::read(csv("data/flights.csv"))?.filter(col("delay").gt(15))?;
    /// assert!(late.explain()?.contains("delay > 15"));
    /// # Ok::<(), sabot::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the plan cannot be cut into fragments.
    pub fn explain(&self) -> Result<String> {
        Job::new("explain").write(self, crate::read::CollectInto::explained())?.explain()
    }

    /// Runs the stream on an engine of its own and gives all rows, in order.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let flights = Stream::read(csv("data/flights.csv"))?.collect()?;
    /// assert_eq!(flights[0].num_rows(), 4);
    /// # Ok::<(), sabot::Error>(())
    /// ```
    ///
    /// # Errors
    /// On unbounded streams, and whatever the job fails with.
    pub fn collect(&self) -> Result<Vec<RecordBatch>> {
        self.collect_on(&Engine::new()?)
    }

    /// Runs the stream on an engine and gives all rows, in order.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let engine = Engine::builder().workers(1).build()?;
    /// let flights = Stream::read(csv("data/flights.csv"))?;
    /// assert_eq!(flights.collect_on(&engine)?, flights.collect_on(&engine)?);
    /// # Ok::<(), sabot::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Stream::collect`].
    pub fn collect_on(&self, engine: &Engine) -> Result<Vec<RecordBatch>> {
        let (sink, collected) = CollectSink::new("collect");
        let job = Job::new("collect").write(self, crate::read::CollectInto::new(sink, "collect"))?;
        engine.run(job)?;
        Ok(collected.take())
    }

    /// Runs the stream and prints all rows as a table.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let flights = Stream::read(csv("data/flights.csv"))?;
    /// flights.show()?;
    /// assert!(flights.filter(col("delay").lt(0))?.show().is_ok());
    /// # Ok::<(), sabot::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Stream::collect`].
    #[allow(clippy::print_stdout, reason = "printing is what the caller asks for")]
    pub fn show(&self) -> Result<()> {
        let (sink, collected) = CollectSink::new("show");
        let job = Job::new("show").write(self, crate::read::CollectInto::new(sink, "show"))?;
        Engine::new()?.run(job)?;
        println!("{}", pretty_format_batches_with_schema(self.schema().clone(), &collected.take())?);
        Ok(())
    }

    /// Starts the stream on an engine and gives its batches as they come, as an async stream. Dropping
    /// it aborts the job.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let engine = Engine::new()?;
    /// let batches = Stream::read(csv("data/flights.csv"))?.execute_stream(&engine)?;
    /// assert_eq!(batches.schema().fields().len(), 3); // see BatchStream for how to take the rows
    /// # Ok::<(), sabot::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the job cannot be started.
    pub fn execute_stream(&self, engine: &Engine) -> Result<BatchStream> {
        BatchStream::start(self, engine)
    }

    /// The plan of a job that writes this stream to one slot, `output`: data that can be stored.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let late = Stream::read(csv("data/flights.csv"))?.filter(col("delay").gt(15))?;
    /// let plan = late.to_plan()?;
    /// assert_eq!(plan.slots()[0].0, "output");
    /// # Ok::<(), sabot::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the plan breaks a rule that concerns it as a whole.
    pub fn to_plan(&self) -> Result<Plan> {
        let sink = self.builder.sink(&self.node, SinkRequest::new(Connector::slot("output")))?;
        Ok(Plan::from_sinks(&[sink])?)
    }

    pub(crate) fn node(&self) -> &NodeRef {
        &self.node
    }

    pub(crate) fn builder(&self) -> &PlanBuilder {
        &self.builder
    }

    pub(crate) fn bindings(&self) -> &Bindings {
        &self.bindings
    }

    /// The same stream, knowing what the slots of another one stand for.
    pub(crate) fn with_bindings_of(mut self, other: &Stream) -> Self {
        self.bindings.merge(&other.bindings);
        self
    }

    pub(crate) fn with_node(self, node: NodeRef) -> Self {
        Self { node, ..self }
    }
}
