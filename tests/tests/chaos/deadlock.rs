//! Any graph comes to its end with one worker, room for one morsel in each queue, and tiny morsels.
//!
//! A thousand random graphs of some seventeen steps, forks, unions and diamonds among them, over bounded
//! sources and channels that fall idle, with late rows, barriers at random moments and sinks that are
//! not always ready. A job that does not end within the limit has hung: the test names seed and plan.

use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sabot::{Engine, Job, JobHandle, Stream, micros, out_of_orderness};
use sabot_connect::{ChannelSender, SinkOrder, input_channels};
use sabot_plan::NodeKind;
use sabot_tests::reference::Partitions;
use sabot_tests::sinks::{Pace, dropping};
use sabot_tests::{Case, CaseBuilder, Device, Setting, data, random};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const OPERATORS: usize = 17;
/// A job takes some milliseconds; a machine that is busy with other things may take a hundred times that.
const LIMIT: Duration = Duration::from_secs(30);

/// One sender of a channel with what it still has to send.
struct Feed {
    sender: ChannelSender,
    left: VecDeque<arrow::record_batch::RecordBatch>,
}

struct Graph {
    case: Case,
    feeds: Vec<Feed>,
}

fn graph(seed: u64, rng: &mut ChaCha8Rng) -> Graph {
    let mut builder = CaseBuilder::new(format!("graph {seed}"));
    let (mut sources, mut feeds) = (Vec::new(), Vec::new());
    for number in 0..rng.random_range(1..=3) {
        let (rows, partitions) = (rng.random_range(0..120), rng.random_range(1..=3));
        let rows = data::events(rng, rows, partitions);
        let stream = match rng.random_ratio(1, 2) {
            true => builder.source(data::schema(), rows),
            false => channel(number, rows, &mut feeds),
        };
        let options = out_of_orderness(micros(data::OUT_OF_ORDERNESS));
        let options = match rng.random_ratio(2, 3) {
            true => options.idle_timeout(Duration::from_micros(rng.random_range(1..3_000))),
            false => options,
        };
        let stream = stream.with_functions(random::functions()).event_time("t", options).unwrap();
        sources.push((stream, true));
    }
    Graph { case: random::grow(rng, builder, sources, OPERATORS), feeds }
}

fn channel(number: usize, rows: Partitions, feeds: &mut Vec<Feed>) -> Stream {
    let (senders, source) = input_channels(format!("channel {number}"), rows.len(), 1, data::schema());
    for (sender, batches) in senders.into_iter().zip(rows) {
        // Small batches, so that there are moments between them for barriers and idleness.
        let pieces = batches
            .iter()
            .flat_map(|b| (0..b.num_rows()).step_by(9).map(|i| b.slice(i, 9.min(b.num_rows() - i))));
        feeds.push(Feed { sender, left: pieces.collect() });
    }
    Stream::from_channel(source).unwrap()
}

/// Feeds the channels and sends barriers until all is sent; then waits for the end.
fn drive(rng: &mut ChaCha8Rng, handle: &JobHandle, mut feeds: Vec<Feed>) -> bool {
    let begun = Instant::now();
    while !feeds.is_empty() && begun.elapsed() < LIMIT && !handle.is_finished() {
        match rng.random_range(0..20) {
            0 => drop(handle.barrier()),
            1 => std::thread::sleep(Duration::from_micros(rng.random_range(0..2_000))),
            _ => {
                let chosen = rng.random_range(0..feeds.len());
                let feed = &mut feeds[chosen];
                match feed.left.pop_front() {
                    None => drop(feeds.swap_remove(chosen)),
                    // A failed job has closed the channel; the end of the test says so.
                    Some(batch) => {
                        if let Some(back) = feed.sender.try_send(batch).unwrap_or(None) {
                            feed.left.push_front(back);
                            std::thread::yield_now();
                        }
                    }
                }
            }
        }
    }
    drop(feeds);
    handle.barrier();
    while !handle.is_finished() && begun.elapsed() < LIMIT {
        std::thread::sleep(Duration::from_micros(50));
    }
    handle.is_finished()
}

/// At every sink epochs rise, each at most once.
fn check_barriers(handle: &JobHandle, name: &str) {
    let arrived = handle.barriers_at_sinks();
    for sink in 0..3 {
        let epochs: Vec<u64> = arrived.iter().filter(|(s, _)| *s == sink).map(|(_, b)| b.epoch.0).collect();
        assert!(epochs.windows(2).all(|w| w[0] < w[1]), "{name}: sink {sink} saw barriers {epochs:?}");
    }
}

/// What the graphs had in them, all together: a test of graphs without any would prove little.
#[derive(Debug, Default)]
struct Tally {
    unions: usize,
    forks: usize,
    late_rows: u64,
    barriers: usize,
    stalls: u64,
}

fn run(seed: u64, tally: &mut Tally) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let Graph { case, feeds } = graph(seed, &mut rng);
    let device = [Device::Cpu, Device::Cpu, Device::Late, Device::Refusing][rng.random_range(0..4)];
    let keyed = rng.random_range(1..=3);
    let setting = Setting { workers: 1, keyed, queue: Some(1), morsel_rows: rng.random_range(1..=3), device };
    let engine: Engine = setting.engine();
    let (job, stalls) = with_stalling_sink(case.job().0, &case, &mut rng);
    let handle = engine
        .start(job)
        .unwrap_or_else(|error| panic!("graph {seed} did not start: {error}\n{}", case.explain()));
    let ended = drive(&mut rng, &handle, feeds);
    assert!(ended, "graph {seed} hangs with {setting}: {:?}\n{}", handle.metrics(), case.explain());
    let metrics = handle
        .wait()
        .unwrap_or_else(|error| panic!("graph {seed} failed with {setting}: {error}\n{}", case.explain()));
    check_barriers(&handle, &case.name);

    let plan = case.plan();
    tally.unions += plan.nodes().iter().filter(|node| matches!(node.kind, NodeKind::Union)).count();
    tally.forks += plan.consumers().iter().filter(|consumers| consumers.len() > 1).count();
    tally.late_rows += metrics.late_rows;
    tally.barriers += handle.barriers_at_sinks().len();
    tally.stalls += stalls.refusals.load(Ordering::SeqCst);
}

/// One more sink, which is often not ready, over the first stream of the case.
fn with_stalling_sink(
    job: Job,
    case: &Case,
    rng: &mut ChaCha8Rng,
) -> (Job, std::sync::Arc<sabot_tests::sinks::Seen>) {
    let stream = case.stream(0);
    let has_order = stream.is_bounded() || stream.time_attribute().is_some();
    let order = if rng.random() && has_order { SinkOrder::Ordered } else { SinkOrder::Multiset };
    let (sink, seen) = dropping(order, Pace::Stutter(rng.random_range(2..5)));
    (job.write(stream, sink).unwrap(), seen)
}

fn run_all(seeds: Range<u64>) {
    let mut tally = Tally::default();
    seeds.for_each(|seed| run(seed, &mut tally));
    let Tally { unions, forks, late_rows, barriers, stalls } = tally;
    let varied = unions > 300 && forks > 500 && late_rows > 300 && barriers > 2_000 && stalls > 2_000;
    assert!(varied, "the graphs prove too little: {tally:?}");
}

#[test]
fn graphs_0_to_499_come_to_an_end() {
    run_all(0..500);
}

#[test]
fn graphs_500_to_999_come_to_an_end() {
    run_all(500..1_000);
}
