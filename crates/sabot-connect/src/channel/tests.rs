//! Channels between threads, futures and readers.

use super::*;
use crate::testing::{block_on, drain, int_batch, ints, noop_context, text_batch};
use crate::{
    Boundedness, ConnectError, InlineSpawner, PartitionReader, Position, ReadRequest, Sink, Source, Spawner,
};
use sabot_common::Epoch;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

fn spawner() -> Arc<dyn Spawner> {
    Arc::new(InlineSpawner)
}

fn open(source: &ChannelSource, partition: usize, rows: usize) -> Box<dyn PartitionReader> {
    let id = source.discover().unwrap().remove(partition);
    let request = ReadRequest { morsel_rows: rows, ..Default::default() };
    source.open(&id, None, &request, &spawner()).unwrap()
}

#[test]
fn threads_and_futures_send_through_a_full_channel() {
    let (sender, source) = input_channel("in", 2, int_batch(&[]).schema());
    assert_eq!(source.boundedness(), Boundedness::Unbounded);
    let mut reader = open(&source, 0, 3);
    let other = sender.clone();
    let threads = [
        thread::spawn(move || (0..50).for_each(|i| sender.send_blocking(int_batch(&[i; 5])).unwrap())),
        thread::spawn(move || (50..100).for_each(|i| block_on(other.send(int_batch(&[i]))).unwrap())),
    ];
    let items = drain(&mut *reader).unwrap();
    threads.into_iter().for_each(|t| t.join().unwrap());
    let mut values: Vec<i64> = items.iter().flat_map(|(_, batch)| ints(batch)).collect();
    values.sort_unstable();
    let wanted: Vec<i64> = (0..50).flat_map(|i| [i; 5]).chain(50..100).collect();
    assert_eq!(values, wanted);
    assert!(items.iter().all(|(_, batch)| batch.num_rows() <= 3));
    assert_eq!(reader.position(), Position::at_row(300));
}

#[test]
fn a_full_channel_gives_the_batch_back_and_a_waiting_future_is_woken() {
    let (sender, source) = input_channel("in", 1, int_batch(&[]).schema());
    assert!(sender.try_send(int_batch(&[1])).unwrap().is_none());
    assert_eq!(sender.try_send(int_batch(&[2])).unwrap(), Some(int_batch(&[2])));
    let mut reader = open(&source, 0, 10);
    let waiting = thread::spawn(move || block_on(sender.send(int_batch(&[3]))));
    thread::sleep(Duration::from_millis(5));
    assert_eq!(drain(&mut *reader).unwrap().len(), 2);
    waiting.join().unwrap().unwrap();
}

#[test]
fn a_send_that_is_dropped_sends_nothing_and_keeps_no_place() {
    let (sender, source) = input_channel("in", 1, int_batch(&[]).schema());
    sender.send_blocking(int_batch(&[1])).unwrap();
    {
        let mut send = std::pin::pin!(sender.send(int_batch(&[2])));
        noop_context(|cx| assert!(send.as_mut().poll(cx).is_pending()));
    }
    let mut reader = open(&source, 0, 10);
    noop_context(|cx| assert!(matches!(reader.poll_next(cx), Poll::Ready(Ok(Some(_))))));
    sender.send_blocking(int_batch(&[3])).unwrap();
    drop(sender);
    let rest = drain(&mut *reader).unwrap();
    assert_eq!(ints(&rest[0].1), [3]);
}

#[test]
fn partitions_have_senders_and_ends_of_their_own() {
    let (mut senders, source) = input_channels("in", 2, 4, int_batch(&[]).schema());
    let names: Vec<String> = source.discover().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["in/0", "in/1"]);
    senders[1].send_blocking(int_batch(&[7])).unwrap();
    drop(senders.pop());
    assert_eq!(drain(&mut *open(&source, 1, 10)).unwrap().len(), 1);
    let mut first = open(&source, 0, 10);
    noop_context(|cx| assert!(first.poll_next(cx).is_pending()));
}

#[test]
fn a_channel_is_claimed_opened_and_read_once() {
    let (_sender, source) = input_channel("in", 4, int_batch(&[]).schema());
    source.claim().unwrap();
    let refused = source.claim().unwrap_err().to_string();
    assert!(refused.starts_with("channel in is already claimed by a job"), "{refused}");
    let id = source.discover().unwrap().remove(0);
    let later = Position::at_row(3);
    let refused = source.open(&id, Some(&later), &ReadRequest::default(), &spawner()).err().unwrap();
    assert!(refused.to_string().contains("rows of a channel cannot be read twice"));
    let _reader = open(&source, 0, 1);
    let again = source.open(&id, None, &ReadRequest::default(), &spawner());
    assert!(matches!(again, Err(ConnectError::AlreadyClaimed { .. })));
    let nowhere = source.open(&"out".into(), None, &ReadRequest::default(), &spawner()).err().unwrap();
    assert_eq!(nowhere.to_string(), "channel in has no partition \"out\"; partitions: in");
}

#[test]
fn senders_learn_that_nobody_reads() {
    let (sender, source) = input_channel("in", 1, int_batch(&[]).schema());
    let wrong = sender.send_blocking(text_batch(&["x"])).unwrap_err().to_string();
    assert_eq!(wrong, "in: column 1: expected \"a\" int64, got \"s\" utf8");
    sender.send_blocking(int_batch(&[1])).unwrap();
    let blocked = sender.clone();
    let blocked = thread::spawn(move || blocked.send_blocking(int_batch(&[2])));
    thread::sleep(Duration::from_millis(5));
    let reader = open(&source, 0, 1);
    // The source outlives the reader, as it does in a plan that the application keeps.
    drop(reader);
    assert_eq!(
        blocked.join().unwrap().unwrap_err().to_string(),
        "channel in is closed: its reader was dropped"
    );
    let (sender, source) = input_channel("in", 1, int_batch(&[]).schema());
    drop(source);
    assert!(matches!(block_on(sender.send(int_batch(&[1]))), Err(ConnectError::ChannelClosed { .. })));
}

#[test]
fn output_reaches_the_receiver_at_once_and_ends_when_all_writers_closed() {
    let (sink, mut receiver) = output_channel("out", 1);
    let schema = int_batch(&[]).schema();
    let (mut a, mut b) = (sink.open(schema.clone(), 0).unwrap(), sink.open(schema.clone(), 1).unwrap());
    let twice = sink.open(schema.clone(), 1).err().unwrap().to_string();
    assert_eq!(twice, "channel out: task 1 has a writer already");
    noop_context(|cx| {
        assert!(matches!(a.poll_ready(cx), Poll::Ready(Ok(()))));
        // The one place is reserved for the first writer, which still finds it ready.
        assert!(b.poll_ready(cx).is_pending());
        assert!(a.poll_ready(cx).is_ready());
    });
    a.write(&int_batch(&[1]).into()).unwrap();
    assert_eq!(ints(&receiver.recv_blocking().unwrap().unwrap()), [1]);
    noop_context(|cx| assert!(b.poll_ready(cx).is_ready()));
    assert_eq!(a.stage(Epoch(1)).unwrap().rows, 1);
    b.write(&int_batch(&[2]).into()).unwrap();
    a.close();
    b.close();
    assert_eq!(ints(&block_on(receiver.recv()).unwrap().unwrap()), [2]);
    assert!(block_on(receiver.recv()).unwrap().is_none());
    assert_eq!(receiver.schema(), Some(schema));
    sink.finish().unwrap();
    sink.abort().unwrap();
    assert!(receiver.recv_blocking().unwrap().is_none());
}

#[test]
fn a_reserved_place_is_given_back_when_its_writer_closes() {
    let (sink, _receiver) = output_channel("out", 1);
    let schema = int_batch(&[]).schema();
    let (mut a, mut b) = (sink.open(schema.clone(), 0).unwrap(), sink.open(schema, 1).unwrap());
    noop_context(|cx| {
        assert!(a.poll_ready(cx).is_ready() && b.poll_ready(cx).is_pending());
        a.close();
        assert!(b.poll_ready(cx).is_ready());
    });
}

#[test]
fn a_receiver_can_tell_an_early_end_from_the_end() {
    for early in [true, false] {
        let (sink, mut receiver) = output_channel("out", 4);
        let mut writer = sink.open(int_batch(&[]).schema(), 0).unwrap();
        writer.write(&int_batch(&[1]).into()).unwrap();
        match early {
            true => drop(writer),
            false => {
                writer.close();
                sink.finish().unwrap();
            }
        }
        assert!(receiver.recv_blocking().unwrap().is_some());
        assert_eq!(receiver.recv_blocking().is_err(), early);
    }
    let (sink, mut receiver) = output_channel("never", 4);
    drop(sink);
    assert!(matches!(block_on(receiver.recv()), Err(ConnectError::Aborted { .. })));
}

#[test]
fn a_sink_whose_receiver_is_gone_says_so() {
    let (sink, receiver) = output_channel("out", 1);
    let mut writer = sink.open(int_batch(&[]).schema(), 0).unwrap();
    writer.write(&int_batch(&[1]).into()).unwrap();
    let waiting = thread::spawn(move || {
        block_on(std::future::poll_fn(|cx| writer.poll_ready(cx))).map_err(|e| e.to_string())
    });
    thread::sleep(Duration::from_millis(5));
    drop(receiver);
    assert_eq!(waiting.join().unwrap().unwrap_err(), "channel out is closed: its receiver was dropped");
}

/// Rows are at the receiver before anything is committed, so a job with checkpoints may send some twice.
#[test]
fn a_channel_delivers_without_commit_and_says_so() {
    let (sink, mut receiver) = output_channel("out", 1);
    assert!(!sink.is_transactional());
    sink.resume(int_batch(&[]).schema()).unwrap();
    assert!(!sink.visible_after(Epoch(0)).unwrap());
    sink.clean(1).unwrap();
    let mut writer = sink.open(int_batch(&[]).schema(), 0).unwrap();
    writer.write(&int_batch(&[1]).into()).unwrap();
    assert_eq!(receiver.recv_blocking().unwrap(), Some(int_batch(&[1])));
    let staged = writer.stage(Epoch(1)).unwrap();
    for _ in 0..2 {
        sink.commit(Epoch(1), std::slice::from_ref(&staged)).unwrap();
    }
    writer.close();
    sink.finish().unwrap();
    assert_eq!(receiver.recv_blocking().unwrap(), None);
}
