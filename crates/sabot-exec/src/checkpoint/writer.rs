//! Writes blocks while the next ones are made.
//!
//! A block takes a disk some ten milliseconds, most of it waiting, in which rows of the next one come in. Whoever made
//! them wait would find them out of every cache, and their memory missing where the next rows are gathered.

use sabot_checkpoint::{BlockId, BlockRef, CheckpointStore, TaskId};
use sabot_common::{Epoch, FailPoint};
use sabot_state::NewBlock;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

/// Blocks that wait to be written, each with memory of its own.
const WAITING_MAX: usize = 2;

/// The cut of a task.
pub(crate) type Of = (TaskId, Epoch);

/// A store with a thread that writes to it.
#[derive(Debug)]
pub(crate) struct BlockWriter {
    store: Arc<dyn CheckpointStore>,
    to: Option<SyncSender<(Of, BlockRef, NewBlock)>>,
    done: Receiver<(Of, Result<(), String>)>,
    thread: Option<JoinHandle<()>>,
    /// Blocks that are still to be written.
    pending: usize,
    /// Why a block of a cut could not be.
    failed: BTreeMap<Of, String>,
}

impl BlockWriter {
    pub(crate) fn new(store: Arc<dyn CheckpointStore>) -> Self {
        let (to, from) = sync_channel(WAITING_MAX);
        let (say, done) = channel();
        let into = store.clone();
        let name = "sabot-blocks".to_owned();
        let thread =
            std::thread::Builder::new().name(name).spawn(move || write_all(&*into, &from, &say)).ok();
        Self { store, to: Some(to), done, thread, pending: 0, failed: BTreeMap::new() }
    }

    /// Writes a block of a cut, some time before [`BlockWriter::wait`] comes back; waits while others wait.
    pub(crate) fn write(&mut self, of: Of, block: BlockRef, bytes: NewBlock) {
        let sent = match &self.to {
            Some(to) if self.thread.is_some() => to.send((of, block, bytes)).map_err(|gone| gone.0.2),
            _ => Err(bytes),
        };
        match sent {
            Ok(()) => self.pending += 1,
            // Without a thread, or once it has panicked.
            Err(bytes) => {
                let written = put(&*self.store, block, &bytes);
                self.note(of, written);
            }
        }
        while let Ok((of, written)) = self.done.try_recv() {
            self.pending -= 1;
            self.note(of, written);
        }
    }

    /// Waits until all blocks are written; why one of a cut could not be.
    pub(crate) fn wait(&mut self, of: Of) -> Result<(), String> {
        while self.pending > 0 {
            let Ok((of, written)) = self.done.recv() else {
                return Err("the thread that writes blocks has panicked".to_owned());
            };
            self.pending -= 1;
            self.note(of, written);
        }
        self.failed.remove(&of).map_or(Ok(()), Err)
    }

    /// Removes blocks that nobody names. What cannot be removed now goes with the next start.
    pub(crate) fn remove(&self, blocks: impl Iterator<Item = BlockId>) {
        for block in blocks {
            if let Err(error) = self.store.delete_block(block) {
                tracing::debug!(%block, %error, "a block of an epoch that was given up stays for now");
            }
        }
    }

    fn note(&mut self, of: Of, written: Result<(), String>) {
        if let Err(reason) = written {
            self.failed.entry(of).or_insert(reason);
        }
    }
}

impl Drop for BlockWriter {
    /// No block is written any more once the job is over.
    fn drop(&mut self) {
        self.to = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the threads beside the workers give up of the machine: a worker that has to wait for one of them at a barrier waits
/// for milliseconds, and nobody waits for what they do.
#[cfg(target_os = "linux")]
const NICE: i32 = 5;

/// Lets workers go first, where the system can tell threads apart.
pub(crate) fn let_workers_go_first() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE) {
        tracing::debug!(%error, "a thread of checkpoints is as urgent as those of workers");
    }
}

fn write_all(
    store: &dyn CheckpointStore,
    from: &Receiver<(Of, BlockRef, NewBlock)>,
    say: &Sender<(Of, Result<(), String>)>,
) {
    let_workers_go_first();
    while let Ok((of, block, bytes)) = from.recv() {
        let written = put(store, block, &bytes);
        let _ = say.send((of, written));
    }
}

fn put(store: &dyn CheckpointStore, block: BlockRef, bytes: &[u8]) -> Result<(), String> {
    store.put_block(block.id, bytes).map_err(|error| error.to_string())?;
    FailPoint::BlockWritten.pass();
    Ok(())
}
