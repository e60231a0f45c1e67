//! Running streams from inside programs: async, cancelled, shared.

use sabot::{Engine, Job, Stream, col, count, to_channel};
use sabot_connect::input_channel;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::kit::{engine, events, lines, wait_for};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The smallest runtime: this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

fn numbers() -> Stream {
    let rows: Vec<(i64, &str, i64)> = (0..5_000).map(|i| (i, "a", i)).collect();
    Stream::from_batches([events(&rows)]).unwrap()
}

#[test]
fn an_async_stream_gives_every_batch_and_then_the_end() {
    let engine = Engine::builder().workers(1).morsel_rows(100).build().unwrap();
    let mut stream = pin!(numbers().filter(col("n").gt_eq(1_000)).unwrap().execute_stream(&engine).unwrap());
    let mut rows = 0;
    block_on(std::future::poll_fn(|cx| {
        use futures_core::Stream as _;
        loop {
            match stream.as_mut().poll_next(cx) {
                Poll::Ready(Some(batch)) => rows += batch.unwrap().num_rows(),
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }));
    assert_eq!(rows, 4_000);
}

#[test]
fn an_error_of_the_job_is_the_last_item_of_its_stream() {
    let failing = numbers().with_columns([(sabot::lit(1i64) / (col("n") - 4_999)).alias("q")]).unwrap();
    let mut stream = pin!(failing.execute_stream(&engine()).unwrap());
    let last = block_on(std::future::poll_fn(|cx| {
        use futures_core::Stream as _;
        loop {
            match stream.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => return Poll::Ready(error.to_string()),
                Poll::Ready(None) => panic!("the stream ended well"),
                Poll::Pending => return Poll::Pending,
            }
        }
    }));
    assert!(last.contains("division by zero: 1 / 0"), "{last}");
}

#[test]
fn dropping_an_async_stream_aborts_its_job() {
    let engine = engine();
    let (sender, source) = input_channel("events", 1, events(&[]).schema());
    let stream = Stream::from_channel(source).unwrap().execute_stream(&engine).unwrap();
    sender.send_blocking(events(&[(1, "a", 1)])).unwrap();
    drop(stream);
    wait_for(
        "closing the channel",
        || sender.send_blocking(events(&[(2, "a", 1)])).is_err(),
        |closed| *closed,
    );
    wait_for("freeing memory", || engine.memory_used(), |used| *used == 0);
}

#[test]
fn a_handle_can_be_awaited() {
    let engine = engine();
    let (sink, _receiver) = to_channel(1_000);
    let handle = engine.start(Job::new("await").write(&numbers(), sink).unwrap()).unwrap();
    let metrics = block_on(&handle).unwrap();
    assert_eq!(metrics.rows_written, 5_000);
    assert_eq!(block_on(&handle).unwrap().rows_written, 5_000, "and again");
}

#[test]
fn a_receiver_that_goes_away_fails_the_job() {
    let (sink, receiver) = to_channel(1);
    drop(receiver);
    let error = engine().run(Job::new("unheard").write(&numbers(), sink).unwrap()).unwrap_err().to_string();
    assert!(error.contains("channel channel is closed: its receiver was dropped"), "{error}");
}

/// Jobs of one engine run side by side and share its memory account, which is empty afterwards.
#[test]
fn many_jobs_share_one_engine() {
    let engine = engine();
    let results = thread::scope(|scope| {
        let job = |i: i64| {
            let engine = engine.clone();
            move || {
                let kept = numbers().filter(col("n").gt_eq(i * 100)).unwrap().group_by(["k"]).unwrap();
                lines(&kept.aggregate([count()]).unwrap().collect_on(&engine).unwrap())
            }
        };
        let threads: Vec<_> = (0..16).map(|i| scope.spawn(job(i))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect::<Vec<_>>()
    });
    for (i, lines) in results.iter().enumerate() {
        assert_eq!(lines, &[format!("'a' {}", 5_000 - i * 100)]);
    }
    assert_eq!(engine.memory_used(), 0);
}
