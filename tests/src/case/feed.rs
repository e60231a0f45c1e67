//! Feeds a channel of a running job.

use arrow::record_batch::RecordBatch;
use sabot::JobHandle;
use sabot_connect::ChannelSender;

/// Rows of one piece that is sent: several morsels for small ones, a part of one for large ones.
const PIECE_ROWS: usize = 50;
/// Pieces between two barriers.
const PIECES_PER_BARRIER: usize = 4;

/// What is sent into one channel.
pub(crate) struct Feed {
    pub(crate) sender: ChannelSender,
    pub(crate) batches: Vec<RecordBatch>,
}

impl Feed {
    /// Sends everything, with a barrier now and then. A job that has failed closes the channel, and that
    /// is no concern of the feed's.
    pub(crate) fn run(self, handle: &JobHandle) {
        let pieces = |batch: &RecordBatch| {
            let cut = |from| batch.slice(from, PIECE_ROWS.min(batch.num_rows() - from));
            (0..batch.num_rows()).step_by(PIECE_ROWS).map(cut).collect::<Vec<_>>()
        };
        for (number, piece) in self.batches.iter().flat_map(pieces).enumerate() {
            if self.sender.send_blocking(piece).is_err() {
                return;
            }
            if number % PIECES_PER_BARRIER == PIECES_PER_BARRIER - 1 {
                handle.barrier();
            }
        }
    }
}
