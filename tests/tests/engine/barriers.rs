//! Barriers flow through every operator and arrive in order at every sink.

use sabot::{Job, Stream, col, count, in_order, micros, tumbling};
use sabot_connect::input_channels;
use sabot_exec::BarrierKind;
use sabot_tests::sinks;

use crate::kit::{engine, events, lines, wait_for};

#[test]
fn barriers_arrive_in_order_at_all_sinks_and_take_snapshots() {
    const BARRIERS: u64 = 20;
    let (senders, source) = input_channels("events", 3, 4, events(&[]).schema());
    let stream = Stream::from_channel(source).unwrap().event_time("t", in_order()).unwrap();
    let windows = stream.clone().window(tumbling(micros(1_000))).unwrap().group_by(["k"]).unwrap();
    let windows = windows.aggregate([count().alias("rows")]).unwrap().named("per key").unwrap();
    let both = stream.clone().filter(col("n").gt(2)).unwrap().union(&stream).unwrap();
    let (rows_sink, rows) = sinks::ordered();
    let (windows_sink, results) = sinks::multiset();
    let job = Job::new("barriers").write(&both, rows_sink).unwrap().write(&windows, windows_sink).unwrap();
    let handle = engine().start(job).unwrap();

    let mut sent = Vec::new();
    for round in 0..BARRIERS as i64 {
        for (partition, sender) in senders.iter().enumerate() {
            sender.send_blocking(events(&[(round, ["a", "b", "c"][partition], round)])).unwrap();
        }
        sent.push(handle.barrier());
    }
    assert!(sent.windows(2).all(|w| w[0].next() == w[1]), "epochs rise by one: {sent:?}");
    let arrived = |sink| {
        let all = handle.barriers_at_sinks();
        all.into_iter().filter(|(s, _)| *s == sink).map(|(_, b)| (b.epoch, b.kind)).collect::<Vec<_>>()
    };
    let expected: Vec<_> = sent.iter().map(|epoch| (*epoch, BarrierKind::Checkpoint)).collect();
    for sink in [0, 1] {
        assert_eq!(wait_for("all barriers", || arrived(sink), |b| b.len() == sent.len()), expected);
    }
    // Every task of the keyed operator has handed over its state.
    let (epoch, snapshot) = handle.snapshot().unwrap();
    assert_eq!(Some(&epoch), sent.last());
    assert_eq!(
        snapshot.keys().map(|(operator, task)| (operator.as_str(), *task)).collect::<Vec<_>>(),
        [("per key", 0), ("per key", 1)]
    );
    drop(senders);
    handle.wait().unwrap();
    // Epochs cut what the sinks write, and nothing is lost or doubled by that.
    let above = 3 * (BARRIERS as usize - 3);
    assert_eq!(lines(&rows.take()).len(), 3 * BARRIERS as usize + above);
    let mut results = lines(&results.take());
    results.sort();
    assert_eq!(results, ["0 1000 'a' 20", "0 1000 'b' 20", "0 1000 'c' 20"]);
}
