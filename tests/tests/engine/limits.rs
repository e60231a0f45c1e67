//! Limits and first rows of streams that have no end: they come, and what need not be read is not.

use sabot::{
    Job, Keep, Stop, Stream, col, count, generator, in_order, input_channel, on, out_of_orderness, seconds,
    sum, to_channel, to_memory, tumbling,
};

use crate::kit::{engine, events, lines, wait_for};

/// Numbers from 0 on, one for each second, without end; in two partitions that know nothing of each other.
fn endless(partitions: u32) -> Stream {
    let made = generator()
        .option("columns", "id sequence(0, 1); t time(0, 1)")
        .option("partitions", partitions.to_string());
    Stream::read(made).unwrap().event_time("t", in_order()).unwrap()
}

fn ids(stream: &Stream) -> Vec<String> {
    lines(&stream.clone().select([col("id")]).unwrap().collect_on(&engine()).unwrap())
}

#[test]
fn a_limited_stream_ends_by_itself() {
    let first = endless(1).limit(3).unwrap();
    assert!(first.is_bounded());
    assert_eq!(ids(&first), ["0", "1", "2"]);
    assert_eq!(ids(&endless(1).filter((col("id") % 10).eq(0)).unwrap().slice(2, 2).unwrap()), ["20", "30"]);
    assert_eq!(ids(&endless(1).limit(0).unwrap()), [""; 0]);
    // The first rows over all partitions, in the order of the stream: event time, then partition.
    let both = ids(&endless(3).limit(6).unwrap());
    assert_eq!(both, ids(&endless(3).limit(6).unwrap()));
    assert_eq!(both.len(), 6);
}

#[test]
fn what_follows_a_limit_has_all_its_rows() {
    let first = endless(2).limit(100).unwrap();
    let total = first.clone().group_by::<&str>([]).unwrap();
    let total = total.aggregate([count().alias("rows")]).unwrap().collect_on(&engine()).unwrap();
    assert_eq!(lines(&total), ["100"]);
    let windows = first.window(tumbling(seconds(10))).unwrap().aggregate([count().alias("rows")]).unwrap();
    let rows = windows.group_by::<&str>([]).unwrap().aggregate([sum(col("rows"))]).unwrap();
    assert_eq!(lines(&rows.collect_on(&engine()).unwrap()), ["100"]);
}

#[test]
fn results_of_windows_are_limited() {
    let windows = endless(1).window(tumbling(seconds(10))).unwrap().aggregate([sum(col("id"))]).unwrap();
    let sums = windows.limit(3).unwrap().select([col("sum(id)")]).unwrap().collect_on(&engine()).unwrap();
    assert_eq!(lines(&sums), ["45", "145", "245"]);
}

/// The side that is loaded first is a limit, with and without another reader of its source.
#[test]
fn a_join_with_a_limited_stream_begins() {
    let few = endless(1).limit(5).unwrap().select([(col("id") * 2).alias("twice")]).unwrap();
    let rows: Vec<(i64, &str, i64)> = (0..20).map(|n| (n, "k", n)).collect();
    let left = Stream::from_batches([events(&rows)]).unwrap();
    let joined = left.clone().join(&few, on("n", "twice")).unwrap();
    let joined = joined.select([col("n")]).unwrap();
    assert_eq!(lines(&joined.collect_on(&engine()).unwrap()), ["0", "2", "4", "6", "8"]);

    let source = endless(1);
    let few = source.clone().limit(5).unwrap().select([(col("id") * 2).alias("twice")]).unwrap();
    let joined = left.join(&few, on("n", "twice")).unwrap();
    let (sink, joined_rows) = to_memory();
    let (others, mut received) = to_channel(2);
    let job = Job::new("both").write(&joined, sink).unwrap().write(&source, others).unwrap();
    let engine = engine();
    let handle = engine.start(job).unwrap();
    for _ in 0..20 {
        assert!(received.recv_blocking().unwrap().is_some(), "the source goes on for its other reader");
    }
    drop(std::thread::spawn(move || while let Ok(Some(_)) = received.recv_blocking() {}));
    handle.stop(Stop::Drain);
    handle.wait().unwrap();
    assert_eq!(joined_rows.take().iter().map(|batch| batch.num_rows()).sum::<usize>(), 5);
}

/// First rows of keys leave while the stream goes on, each once.
#[test]
fn the_first_of_each_key_comes_when_it_is_sure() {
    let engine = engine();
    let (sender, source) = input_channel("events", 4, events(&[]).schema());
    let stream = Stream::from_channel(source).unwrap();
    let stream = stream.event_time("t", out_of_orderness(seconds(0))).unwrap();
    let (sink, mut first) = to_channel(16);
    let (kinds_sink, mut kinds) = to_channel(16);
    let unique = stream.clone().unique(["k"], Keep::First).unwrap();
    let distinct = stream.select([col("k")]).unwrap().distinct().unwrap();
    let job = Job::new("first").write(&unique, sink).unwrap().write(&distinct, kinds_sink).unwrap();
    let handle = engine.start(job).unwrap();
    sender.send_blocking(events(&[(1, "a", 1), (2, "b", 2), (3, "a", 3)])).unwrap();
    sender.send_blocking(events(&[(4, "a", 4)])).unwrap();
    // Rows of the greatest time may have company yet.
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(lines(&[kinds.recv_blocking().unwrap().unwrap()]));
    }
    // Two tasks share the keys.
    seen.sort();
    assert_eq!(seen, ["'a'", "'b'"], "while the sender is there");
    sender.send_blocking(events(&[(5, "c", 5), (6, "b", 6)])).unwrap();
    wait_for("reading", || handle.metrics().rows_read, |read| *read == 6);
    drop(sender);
    drop(std::thread::spawn(move || while let Ok(Some(_)) = kinds.recv_blocking() {}));
    handle.wait().unwrap();
    let mut all = Vec::new();
    while let Some(batch) = first.recv_blocking().unwrap() {
        all.extend(lines(&[batch]));
    }
    all.sort();
    assert_eq!(all, ["1 'a' 1", "2 'b' 2", "5 'c' 5"]);
}
