//! How far the inputs of a keyed operator have come.

use sabot_common::EventTime;

use crate::OperatorError;

/// The watermark of all inputs, which never goes back, and whether they have ended.
#[derive(Debug)]
pub(crate) struct Progress {
    watermark: EventTime,
    ended: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { watermark: EventTime::MIN, ended: false }
    }

    pub(crate) fn watermark(&self) -> EventTime {
        self.watermark
    }

    /// Whether no watermark has come.
    pub(crate) fn is_fresh(&self) -> bool {
        self.watermark == EventTime::MIN
    }

    /// A step that is in order only before the end of the inputs.
    pub(crate) fn check_open(&self, step: &'static str) -> Result<(), OperatorError> {
        match self.ended {
            true => Err(OperatorError::Order { step, when: "after the end of the input" }),
            false => Ok(()),
        }
    }

    /// Takes in a watermark; the one that holds from now on.
    pub(crate) fn reach(&mut self, watermark: EventTime) -> Result<EventTime, OperatorError> {
        self.check_open("a watermark")?;
        self.watermark = self.watermark.max(watermark);
        Ok(self.watermark)
    }

    /// The inputs end.
    pub(crate) fn end(&mut self) -> Result<(), OperatorError> {
        self.check_open("an end")?;
        self.ended = true;
        Ok(())
    }

    /// Goes on from the watermark of a snapshot.
    pub(crate) fn resume(&mut self, watermark: EventTime) {
        self.watermark = watermark;
    }
}
