//! Errors and panics of user code: of the job that runs it, named, and of no other.

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use sabot::{ClosureFunction, Engine, FunctionError, FunctionRegistry, Job, Stream, call, col, count};
use sabot_connect::{Committable, ConnectError, Sink, SinkOrder, SinkWriter, input_channel};
use sabot_tests::sinks;
use std::sync::Arc;

use crate::kit::{engine, events, lines, wait_for};

fn numbers() -> Stream {
    let rows: Vec<(i64, &str, i64)> = (0..500).map(|i| (i, "a", i)).collect();
    Stream::from_batches([events(&rows)]).unwrap()
}

/// Runs a job that must fail, beside one that must not.
fn fail_beside_another(engine: &Engine, failing: Job) -> String {
    let (sender, source) = input_channel("other", 4, events(&[]).schema());
    let other = Stream::from_channel(source).unwrap().filter(col("n").gt(0)).unwrap();
    let (sink, rows) = sinks::multiset();
    let handle = engine.start(Job::new("other").write(&other, sink).unwrap()).unwrap();
    sender.send_blocking(events(&[(0, "a", 1)])).unwrap();

    let message = engine.run(failing).unwrap_err().to_string();

    sender.send_blocking(events(&[(1, "b", 2)])).unwrap();
    drop(sender);
    handle.wait().unwrap();
    assert_eq!(lines(&rows.take()), ["0 'a' 1", "1 'b' 2"], "the other job was harmed");
    message
}

fn job(stream: &Stream) -> (Job, sabot_connect::Collected) {
    let (sink, rows) = sinks::ordered();
    (Job::new("failing").write(stream, sink).unwrap(), rows)
}

#[test]
fn a_panic_in_a_function_over_batches_names_the_operator() {
    let engine = engine();
    let stream = numbers();
    let schema = stream.schema().clone();
    let panics = |batch: RecordBatch| -> Result<RecordBatch, FunctionError> {
        assert!(batch.num_rows() == 0, "no such luck");
        Ok(batch)
    };
    let stream = stream.map_batches(schema, panics).unwrap().named("the careless one").unwrap();
    let (job, rows) = job(&stream);
    let message = fail_beside_another(&engine, job);
    assert_eq!(
        message,
        "operator the careless one panicked: no such luck; a panic in a user function is to be mended there, any other is a bug in Sabot"
    );
    assert!(rows.take().is_empty());
    // The engine itself is unharmed.
    let again = numbers().group_by(["k"]).unwrap().aggregate([count()]).unwrap();
    assert_eq!(lines(&again.collect_on(&engine).unwrap()), ["'a' 500"]);
}

#[test]
fn a_panic_in_a_scalar_function_names_the_operator() {
    let mut registry = FunctionRegistry::new();
    let panics =
        ClosureFunction::new("panics", 1, [DataType::Int64], DataType::Int64, |_, _| panic!("at once"));
    registry.register(Arc::new(panics)).unwrap();
    let stream = numbers().with_functions(Arc::new(registry));
    let stream =
        stream.with_columns([call("panics", 1, [col("n")]).alias("p")]).unwrap().named("mapper").unwrap();
    let message = fail_beside_another(&engine(), job(&stream).0);
    assert!(message.starts_with("operator mapper panicked: at once; "), "{message}");
}

#[test]
fn an_error_of_a_function_over_batches_names_the_operator() {
    let stream = numbers();
    let schema = stream.schema().clone();
    let fails =
        |_: RecordBatch| -> Result<RecordBatch, FunctionError> { Err(FunctionError::new("out of stamps")) };
    let stream = stream.map_batches(schema, fails).unwrap().named("post").unwrap();
    let message = fail_beside_another(&engine(), job(&stream).0);
    assert_eq!(message, "operator post: the function over batches failed: out of stamps");
}

#[test]
fn a_batch_of_another_schema_is_refused() {
    let schema = Arc::new(Schema::new(vec![Field::new("m", DataType::Int64, false)]));
    let renames = |batch: RecordBatch| -> Result<RecordBatch, FunctionError> {
        let column = Arc::new(Int64Array::from(vec![0; batch.num_rows()])) as ArrayRef;
        Ok(RecordBatch::try_from_iter([("other", column)]).unwrap())
    };
    let stream = numbers().map_batches(schema, renames).unwrap().named("renames").unwrap();
    let message = fail_beside_another(&engine(), job(&stream).0);
    assert!(
        message.starts_with("operator renames: the function over batches failed: it returned "),
        "{message}"
    );
    assert!(message.contains("it was declared to return"), "{message}");
}

/// A sink that panics when it commits.
#[derive(Debug)]
struct PanicsAtCommit;

impl Sink for PanicsAtCommit {
    fn name(&self) -> String {
        "panicking".to_owned()
    }
    fn order(&self) -> SinkOrder {
        SinkOrder::Multiset
    }
    fn accepts_changes(&self) -> bool {
        false
    }
    fn open(
        &self,
        schema: arrow::datatypes::SchemaRef,
        task: u32,
    ) -> Result<Box<dyn SinkWriter>, ConnectError> {
        sabot_connect::CollectSink::new("inner").0.open(schema, task)
    }
    fn commit(&self, _epoch: sabot_common::Epoch, _staged: &[Committable]) -> Result<(), ConnectError> {
        panic!("the disk is on fire")
    }
    fn finish(&self) -> Result<(), ConnectError> {
        Ok(())
    }
    fn abort(&self) -> Result<(), ConnectError> {
        Ok(())
    }
}

#[test]
fn a_panic_in_a_sink_is_an_error_of_its_job() {
    let sink: Arc<dyn Sink> = Arc::new(PanicsAtCommit);
    let job = Job::new("failing").write(&numbers(), sink).unwrap();
    let message = fail_beside_another(&engine(), job);
    assert!(message.contains("panicked: the disk is on fire"), "{message}");
}

/// A handle can be asked again and again, and every waiter gets the same error.
#[test]
fn every_waiter_gets_the_error() {
    let stream =
        numbers().with_columns([(sabot::lit(1i64) / (col("n") - 3)).alias("q")]).unwrap().named("q").unwrap();
    let handle = engine().start(job(&stream).0).unwrap();
    wait_for("the end", || handle.is_finished(), |over| *over);
    let (first, second) = (handle.wait().unwrap_err().to_string(), handle.wait().unwrap_err().to_string());
    assert_eq!(first, second);
    assert!(first.contains("division by zero: 1 / 0") && first.contains("row 4"), "{first}");
}
