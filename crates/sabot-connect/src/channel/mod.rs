//! In-memory channels between an application and a job.
//!
//! [`input_channel`] feeds a job from the application's threads or futures, [`output_channel`] brings
//! rows back. Both are bounded: a sender waits while the job is behind, and a job waits while its
//! receiver is behind. Neither needs an async runtime, and both work inside any. Rows travel as they
//! come and cannot be read again: a channel promises every row once while the process lives, and nothing
//! after that.

mod input;
mod output;
mod queue;
#[cfg(test)]
mod tests;

pub use input::{
    ChannelPartitions, ChannelSender, ChannelSource, Sending, growing_channel, input_channel, input_channels,
};
pub use output::{ChannelReceiver, ChannelSink, Receiving, output_channel};
