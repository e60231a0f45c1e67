//! Joins and the engine around them: memory, waiting sources, stops, errors.

use sabot::{Engine, Job, JobError, Stop, Stream, Table, col, lit, on};
use sabot_connect::{Boundedness, input_channel, input_channels};
use sabot_tests::sinks;

use crate::kit::{engine, events, lines, wait_for};

fn numbers(rows: i64) -> Stream {
    let rows: Vec<(i64, &str, i64)> = (0..rows).map(|i| (i, "a", i)).collect();
    Stream::from_batches([events(&rows)]).unwrap()
}

fn right(rows: i64) -> Stream {
    numbers(rows).select([col("n").alias("id"), col("k").alias("name")]).unwrap()
}

fn small(memory: usize) -> Engine {
    let engine = Engine::builder().workers(1).keyed_parallelism(1).queue_morsels(1).morsel_rows(50);
    engine.memory_budget(memory).build().unwrap()
}

/// The left side is far larger than the budget. If it were read first, no row of the right side could
/// come in any more.
#[test]
fn a_large_left_side_keeps_nobody_out() {
    let left = numbers(30_000);
    for key in [on("n", "id"), on("n", "id").broadcast()] {
        let joined = left.clone().join(&right(300), key).unwrap();
        let rows = joined.collect_on(&small(60_000)).unwrap();
        assert_eq!(rows.iter().map(|b| b.num_rows()).sum::<usize>(), 300);
    }
}

#[test]
fn state_that_outgrows_memory_names_the_join() {
    let left = numbers(30_000);
    let own = left.clone().join(&left.select([col("n").alias("id")]).unwrap(), on("n", "id")).unwrap();
    let table = Table::from_stream(right(30_000)).unwrap();
    let looked_up = numbers(10).lookup_join(&table, on("n", "id"), ["name"]).unwrap();
    for (stream, name) in [(own, "own"), (looked_up, "look-up")] {
        let stream = stream.named(name).unwrap();
        let message = stream.collect_on(&small(60_000)).unwrap_err().to_string();
        assert!(message.starts_with(&format!("operator {name} holds ")), "{message}");
    }
}

#[test]
fn a_stream_without_end_waits_for_the_table_and_then_goes_on() {
    let (orders, source) = input_channel("orders", 4, events(&[]).schema());
    let (mut senders, table) = input_channels("table", 1, 4, events(&[]).schema());
    let table = Stream::from_channel(table.with_boundedness(Boundedness::Bounded)).unwrap();
    let table = table.select([col("k").alias("key"), col("n").alias("price")]).unwrap();
    let priced = Stream::from_channel(source)
        .unwrap()
        .lookup_join(&Table::from_stream(table).unwrap(), on("k", "key"), ["price"])
        .unwrap();
    let (sink, mut rows) = sabot::to_channel(8);
    let handle = engine().start(Job::new("prices").write(&priced, sink).unwrap()).unwrap();

    orders.send_blocking(events(&[(1, "a", 10), (2, "b", 20)])).unwrap();
    let prices = senders.remove(0);
    prices.send_blocking(events(&[(0, "a", 7)])).unwrap();
    wait_for("reading the table", || handle.metrics().rows_read, |rows| *rows == 1);
    prices.send_blocking(events(&[(0, "c", 8), (0, "a", 9)])).unwrap();
    drop(prices);
    assert_eq!(
        lines(&[rows.recv_blocking().unwrap().unwrap()]),
        ["1 'a' 10 7", "1 'a' 10 9", "2 'b' 20 NULL"]
    );
    orders.send_blocking(events(&[(3, "c", 30)])).unwrap();
    assert_eq!(lines(&[rows.recv_blocking().unwrap().unwrap()]), ["3 'c' 30 8"]);
    drop(orders);
    handle.wait().unwrap();
}

/// Nothing was read of the left side, so nothing is joined with a part of the right one.
#[test]
fn a_job_can_be_stopped_while_the_right_side_loads() {
    for (stop, broadcast) in
        [(Stop::Drain, false), (Stop::Drain, true), (Stop::Suspend, false), (Stop::Suspend, true)]
    {
        let (senders, table) = input_channels("table", 1, 4, events(&[]).schema());
        let table = Stream::from_channel(table.with_boundedness(Boundedness::Bounded)).unwrap();
        let table = table.select([col("n").alias("id"), col("k").alias("name")]).unwrap();
        let key = if broadcast { on("n", "id").left().broadcast() } else { on("n", "id").left() };
        let joined = numbers(100).join(&table, key).unwrap();
        let (sink, rows) = sinks::ordered();
        let handle = engine().start(Job::new("stop").write(&joined, sink).unwrap()).unwrap();
        senders[0].send_blocking(events(&[(0, "a", 7), (0, "b", 8)])).unwrap();
        wait_for("reading the table", || handle.metrics().rows_read, |rows| *rows == 2);
        handle.stop(stop);
        handle.wait().unwrap();
        assert!(rows.take().is_empty(), "{stop:?}");
        if stop == Stop::Suspend && !broadcast {
            let (_, snapshot) = handle.snapshot().unwrap();
            let held: usize = snapshot.values().flatten().map(|morsel| morsel.live_rows()).sum();
            assert_eq!(held, 2, "the build side so far");
        }
    }
}

#[test]
fn a_condition_that_fails_names_the_row_and_its_operator() {
    let condition = (lit(10) / (col("n") - col("id") + 1)).gt(0);
    let table = Table::from_stream(right(5)).unwrap();
    let looked_up = numbers(9)
        .filter(col("n").gt(1))
        .unwrap()
        .with_columns([lit(3).alias("three")])
        .unwrap()
        .lookup_join(&table, on("three", "id").filter(condition), ["name", "id"])
        .unwrap()
        .named("prices")
        .unwrap();
    let error = looked_up.collect_on(&engine()).unwrap_err();
    let sabot::Error::Job(JobError::Row { operator, error, .. }) = &error else { panic!("{error}") };
    assert_eq!(operator.as_str(), "prices");
    assert!(error.to_string().starts_with("division by zero"), "{error}");
}

#[test]
fn a_key_that_stands_twice_where_it_must_not_is_named() {
    for key in [on("n", "id").unique(), on("n", "id").unique().broadcast()] {
        let twice = right(5).union(&right(3)).unwrap();
        let joined = numbers(9).join(&twice, key).unwrap().named("prices").unwrap();
        let message = joined.collect_on(&engine()).unwrap_err().to_string();
        assert!(message.starts_with("operator prices: the key ("), "{message}");
        assert!(message.contains("was declared unique"), "{message}");
    }
}

#[test]
fn a_failing_right_side_fails_the_job() {
    for key in [on("n", "id"), on("n", "id").broadcast()] {
        let broken = right(5).with_columns([(lit(1) / (col("id") - 3)).alias("q")]).unwrap();
        let message = numbers(9).join(&broken, key).unwrap().collect_on(&engine()).unwrap_err().to_string();
        assert!(message.contains("division by zero"), "{message}");
    }
}

/// Options that this kind of join does not have.
#[test]
fn options_that_mean_nothing_are_refused() {
    let table = Table::from_stream(right(3)).unwrap();
    let message = |result: sabot::Result<Stream>| result.unwrap_err().to_string();
    assert_eq!(
        message(numbers(3).lookup_join(&table, on("n", "id").full(), ["name"])),
        "lookup_join: full() is not for this join; use join(table.stream(), …)"
    );
    assert_eq!(
        message(numbers(3).join(&right(3), on("n", "id").forward())),
        "join: forward() is not for this join; use asof_join"
    );
    assert_eq!(
        message(numbers(3).asof_join(&numbers(3), ("t", "t"), on("k", "k").right().suffix("_right"))),
        "asof_join: right() is not for this join; use left() or inner(), or exchange the two sides"
    );
}
