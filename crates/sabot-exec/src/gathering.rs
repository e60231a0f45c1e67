//! Small morsels that wait for each other, so that a device gets pieces of work that are worth a copy.
//!
//! Rows are only held back while the device is busy with others: the first morsel goes at once, and those that come while it is
//! at work go together. Watermarks that come in between leave behind the rows that were gathered; rows that follow a watermark
//! are then before it, which it allows. All other control elements end a gathering.

use sabot_batch::Morsel;
use sabot_common::limits;

use crate::element::{Charged, Element};

/// Morsels that will be one.
#[derive(Debug)]
pub(crate) struct Gathering {
    /// The sequence number under which the results leave.
    pub(crate) sequence: u64,
    pub(crate) parts: Vec<Charged>,
    rows: usize,
    bytes: usize,
    /// The newest watermark that came behind some of them.
    pub(crate) watermark: Option<Element>,
}

impl Gathering {
    pub(crate) fn new(sequence: u64, first: Charged) -> Self {
        let (rows, bytes) = (first.morsel.rows(), first.morsel.bytes());
        Self { sequence, parts: vec![first], rows, bytes, watermark: None }
    }

    /// Takes one more, if its rows follow those that are there: where an error is, is known of one run of rows only.
    pub(crate) fn join(&mut self, next: Charged) -> Result<(), Charged> {
        let joins = |last: &Charged| {
            let on_host = last.morsel.host().is_some() && next.morsel.host().is_some();
            on_host && last.morsel.is_followed_by(&next.morsel)
        };
        if !self.parts.last().is_none_or(joins)
            || self.bytes + next.morsel.bytes() > limits::GATHERED_BYTES_MAX
        {
            return Err(next);
        }
        self.rows += next.morsel.rows();
        self.bytes += next.morsel.bytes();
        self.parts.push(next);
        Ok(())
    }

    /// Whether it has as many rows as a device wants.
    pub(crate) fn is_full(&self, wanted: usize) -> bool {
        self.rows >= wanted
    }
}

/// The parts as one morsel; `None` where they cannot be joined.
pub(crate) fn joined(parts: &[Charged]) -> Option<Morsel> {
    let morsels: Vec<Morsel> = parts.iter().map(|part| part.morsel.clone()).collect();
    match Morsel::concat(&morsels) {
        Ok(joined) => joined,
        Err(error) => {
            tracing::debug!(%error, "morsels stay apart");
            None
        }
    }
}
