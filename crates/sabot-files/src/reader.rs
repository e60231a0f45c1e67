//! Reading a file from front to back, decoded ahead by one job at a time.

use sabot_connect::{
    ConnectError, DeadLetters, PartitionReader, PauseGate, Position, ReadCounters, ReadRequest, SourceItem,
    Spawner,
};
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::ahead::{Ahead, Budget, Decode, Front, Piece};
use crate::input::Input;

/// A reader of one file. Dead letters are put aside when their place is passed, so that they belong to the
/// same epoch as the rows around them.
pub(crate) struct SequentialReader {
    ahead: Arc<Ahead>,
    budget: Arc<Budget>,
    spawner: Arc<dyn Spawner>,
    start: Position,
    position: Position,
    gate: PauseGate,
    counters: ReadCounters,
    dead_letters: Option<Arc<dyn DeadLetters>>,
    /// Number of the partition among those of the source.
    partition: u32,
}

impl SequentialReader {
    /// Reads what `decoder` decodes of `input`, the file with this number, from a position on.
    pub(crate) fn boxed(
        input: &Input,
        number: usize,
        format: &'static str,
        decoder: Box<dyn Decode>,
        from: Position,
        request: &ReadRequest,
        spawner: Arc<dyn Spawner>,
    ) -> Box<dyn PartitionReader> {
        let budget = Budget::new(input.path().clone(), format, request.look_ahead_bytes);
        Box::new(Self {
            ahead: Ahead::new(budget.clone(), decoder),
            budget,
            spawner,
            start: from,
            position: from,
            gate: PauseGate::default(),
            counters: ReadCounters::default(),
            dead_letters: request.dead_letters.clone(),
            partition: u32::try_from(number).unwrap_or(u32::MAX),
        })
    }

    fn deliver(&mut self, piece: Piece, after: Position) -> Result<SourceItem, ConnectError> {
        let first_row = std::mem::replace(&mut self.position, after).row;
        self.counters.bytes = after.offset.saturating_sub(self.start.offset);
        match piece {
            Piece::Rows(batch) => {
                self.counters.rows += batch.num_rows() as u64;
                Ok(SourceItem::Rows { batch, first_row })
            }
            Piece::Rejected(letters) => {
                if let Some(aside) = &self.dead_letters {
                    self.counters.dead_letters += aside.put(self.partition, &letters)?;
                }
                Ok(SourceItem::Skipped { first_row, rows: letters.len() as u64, event_time_max: None })
            }
        }
    }
}

impl PartitionReader for SequentialReader {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<SourceItem>, ConnectError>> {
        if self.gate.holds(cx) {
            return Poll::Pending;
        }
        loop {
            match self.ahead.poll_front(cx)? {
                Front::Piece(piece, after) => {
                    if self.budget.has_room()
                        && let Some(job) = self.ahead.start()
                    {
                        self.spawner.spawn(job);
                    }
                    return Poll::Ready(self.deliver(piece, after).map(Some));
                }
                Front::End => {
                    if let Some(aside) = self.dead_letters.take() {
                        aside.end(self.partition)?;
                    }
                    return Poll::Ready(Ok(None));
                }
                Front::Wait(None) => return Poll::Pending,
                // The job may have run already; looking again costs nothing.
                Front::Wait(Some(job)) => self.spawner.spawn(job),
            }
        }
    }

    fn position(&self) -> Position {
        self.position
    }

    fn pause(&mut self) {
        self.gate.pause();
    }

    fn resume(&mut self) {
        self.gate.resume();
    }

    fn counters(&self) -> ReadCounters {
        self.counters
    }
}

impl Drop for SequentialReader {
    fn drop(&mut self) {
        self.budget.cancel();
    }
}
