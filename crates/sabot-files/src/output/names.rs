//! The names of the files that belong to an output: their meaning is all that a process which goes on knows
//! of the one before it.
//!
//! The invariant: what a name says never changes, and no two meanings share a name.

use sabot_common::Epoch;
use std::fmt;

/// What follows the prefix in the name of a hidden file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hidden {
    /// A part of a run without checkpoints. Nobody needs it once that run is over.
    Part {
        /// The task that wrote it.
        task: u32,
        /// Its number in the run.
        n: u64,
    },
    /// A part of a run with checkpoints, being written or staged.
    Staged {
        /// The generation of the job, so that a later one knows it.
        generation: u64,
        /// The task that wrote it.
        task: u32,
        /// Its number in the run.
        n: u64,
    },
    /// A part of one file that is committed. The order is that of the rows.
    Committed {
        /// The epoch under which it was staged.
        epoch: Epoch,
        /// The task that staged it.
        task: u32,
        /// Its place among the parts of that task.
        i: usize,
    },
    /// Committed parts, while they are joined.
    Whole,
    /// Says that the whole file is there, while the parts that it was made of are removed.
    Finished,
    /// The lock.
    Lock,
}

impl Hidden {
    /// What the rest of a name says, if it is one of these.
    pub(super) fn parse(rest: &str) -> Option<Self> {
        match rest {
            "whole" => return Some(Hidden::Whole),
            "finished" => return Some(Hidden::Finished),
            "lock" => return Some(Hidden::Lock),
            _ => {}
        }
        let (is_committed, numbers) = match rest.strip_prefix("epoch-") {
            Some(numbers) => (true, numbers),
            None => (false, rest),
        };
        let numbers: Vec<u64> = numbers.split('-').map(number).collect::<Option<_>>()?;
        match (is_committed, numbers.as_slice()) {
            (true, [epoch, task, i]) => {
                let (task, i) = (u32::try_from(*task).ok()?, usize::try_from(*i).ok()?);
                Some(Hidden::Committed { epoch: Epoch(*epoch), task, i })
            }
            (false, [task, n]) => Some(Hidden::Part { task: u32::try_from(*task).ok()?, n: *n }),
            (false, [generation, task, n]) => {
                let task = u32::try_from(*task).ok()?;
                Some(Hidden::Staged { generation: *generation, task, n: *n })
            }
            _ => None,
        }
    }

    /// Whether a run with checkpoints may need it after its process has died.
    pub(super) fn is_recoverable(self) -> bool {
        matches!(self, Hidden::Staged { .. } | Hidden::Committed { .. } | Hidden::Finished)
    }
}

impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hidden::Part { task, n } => write!(f, "{task}-{n}"),
            Hidden::Staged { generation, task, n } => write!(f, "{generation}-{task}-{n}"),
            // As many digits as the largest number has, so that a listing shows the order of the rows.
            Hidden::Committed { epoch, task, i } => write!(f, "epoch-{:020}-{task}-{i}", epoch.0),
            Hidden::Whole => f.write_str("whole"),
            Hidden::Finished => f.write_str("finished"),
            Hidden::Lock => f.write_str("lock"),
        }
    }
}

/// The epoch of a file in a folder that is named like output: `<epoch>-<task>.<extension>`, with more numbers
/// or fewer digits as it may be. One that no epoch can have is later than all.
pub(super) fn visible_epoch(name: &str, extension: &str) -> Option<Epoch> {
    let stem = name.strip_suffix(extension)?.strip_suffix('.')?;
    let (first, rest) = stem.split_once('-')?;
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    (is_number(first) && rest.split('-').all(is_number)).then(|| Epoch(number(first).unwrap_or(u64::MAX)))
}

/// A number of digits alone; `+1` is none.
fn number(text: &str) -> Option<u64> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_they_were_made_of() {
        let all = [
            Hidden::Part { task: 3, n: 17 },
            Hidden::Staged { generation: u64::MAX, task: u32::MAX, n: u64::MAX },
            Hidden::Committed { epoch: Epoch(7), task: 0, i: 2 },
            Hidden::Committed { epoch: Epoch(u64::MAX), task: 1, i: 0 },
            Hidden::Whole,
            Hidden::Finished,
            Hidden::Lock,
        ];
        for hidden in all {
            assert_eq!(Hidden::parse(&hidden.to_string()), Some(hidden));
        }
        assert_eq!(all[2].to_string(), "epoch-00000000000000000007-0-2");
        let others =
            ["", "1", "1-", "-1-2", "+1-2", "1-2-3-4", "epoch-1-2", "epoch-1-4294967296-0", "1-x", "wholes"];
        for other in others {
            assert_eq!(Hidden::parse(other), None, "{other}");
        }
    }

    #[test]
    fn files_in_folders_have_their_epoch_in_front() {
        let of = |name| visible_epoch(name, "csv").map(|epoch| epoch.0);
        assert_eq!([of("7-0.csv"), of("12-3-1.csv"), of("007-0.csv")], [Some(7), Some(12), Some(7)]);
        assert_eq!(of("99999999999999999999-0.csv"), Some(u64::MAX));
        let others =
            ["7.csv", "7-0.csv.gz", "7-.csv", "-0.csv", "7-a.csv", "+7-0.csv", "a-0.csv", "7-0csv", ".csv"];
        for other in others {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
