//! The contract between the runtime and whatever runs fragments: the CPU, a GPU, a test double.
//!
//! Everything is asynchronous in the same way: work is handed over with [`Kernel::submit`], which gives
//! a [`Ticket`], and its result is asked for with [`Kernel::poll`]. A CPU kernel finishes inside
//! `submit`, so its first `poll` is already done. The runtime keeps the input of every open ticket, so
//! that a failed morsel can run elsewhere; a backend never has to recover by itself.

use sabot_batch::{Morsel, MorselError};
use sabot_common::{DeviceId, RowWork};
use sabot_expr::RowError;
use std::fmt::Debug;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::Fragment;

/// Whether a backend can run a fragment. A `No` is an answer and never an error: another backend runs it.
///
/// ```
/// # use sabot_ops::Support;
/// let no = Support::No { reason: "cast from utf8 to timestamp".to_owned() };
/// assert_ne!(no, Support::Yes);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Support {
    /// The backend runs the fragment with exactly the semantics of its specs.
    Yes,
    /// It does not, for this reason; `explain` prints it.
    No {
        /// Why not, in words a user understands: `cast from utf8 to timestamp`.
        reason: String,
    },
}

/// A fragment could not be compiled although the backend supports it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{device} could not compile {fragment}: {reason}")]
pub struct CompileError {
    /// The device.
    pub device: DeviceId,
    /// The fragment in one line.
    pub fragment: String,
    /// What the compiler said.
    pub reason: String,
}

/// Something that runs fragments.
pub trait Backend: Debug + Send + Sync {
    /// The device that it runs them on.
    fn device(&self) -> DeviceId;

    /// Whether it can run this fragment; cheap, called while planning.
    fn supports(&self, fragment: &Fragment) -> Support;

    /// What the fragment asks of this device for each row, for the planner: without anything that goes over a link unless the
    /// backend says what.
    fn work(&self, fragment: &Fragment) -> RowWork {
        fragment.work()
    }

    /// Starts to compile the fragment. The job is polled; until it is ready another backend serves.
    ///
    /// # Errors
    /// [`CompileError`] when it is clear at once that the fragment cannot be compiled.
    fn compile(&self, fragment: &Fragment) -> Result<CompileJob, CompileError>;
}

/// What came of a compilation.
pub type Compiled = Result<Arc<dyn Program>, CompileError>;

/// A compilation, finished or under way.
pub enum CompileJob {
    /// Finished.
    Ready(Arc<dyn Program>),
    /// Under way: each call says whether it is finished by now.
    Pending(Box<dyn FnMut() -> Option<Compiled> + Send>),
}

/// A compiled fragment, shared by all tasks that run it.
pub trait Program: Send + Sync {
    /// Rows that a kernel would rather be given at once, where it makes a difference. The runtime joins morsels until there are as
    /// many, as long as the device has other work meanwhile.
    fn rows_wanted(&self) -> Option<usize> {
        None
    }

    /// A kernel for one task, with scratch memory and tables of its own.
    fn kernel(&self) -> Box<dyn Kernel>;
}

/// Work handed to a kernel. Tickets of one kernel are unique; each is polled until it is done or failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What the runtime lends a kernel for the time of one call.
#[derive(Debug)]
pub struct TaskContext<'a> {
    /// The largest number of rows that an output morsel should have.
    pub morsel_rows: usize,
    /// Woken when a pending ticket may have finished. A `Pending` without a later wake is a hang.
    pub waker: &'a Waker,
}

/// A compiled fragment at work in one task.
///
/// The output of a ticket depends on its input alone, so the order in which tickets finish is free.
pub trait Kernel: Send {
    /// Hands over a morsel with the fragment's input schema; its selection counts.
    fn submit(&mut self, input: Morsel, cx: &mut TaskContext<'_>) -> Ticket;

    /// Asks for the result of a ticket. After `Done` or `Failed` the ticket is no more.
    fn poll(&mut self, ticket: Ticket, cx: &mut TaskContext<'_>) -> Progress;

    /// Starts everything that a coalescing kernel still holds back; called before every control
    /// element. All earlier tickets finish without further submissions once this ticket is done. Its own
    /// output is empty.
    fn flush(&mut self, cx: &mut TaskContext<'_>) -> Ticket;
}

/// The state of a ticket.
#[derive(Debug)]
pub enum Progress {
    /// Not yet; the waker is woken when it is worth asking again.
    Pending,
    /// Finished.
    Done(Output),
    /// Not finished and never will be.
    Failed(Failure),
}

/// What a fragment made of one morsel.
///
/// A morsel without rows may be left out. Row kinds go with their rows; time bounds are kept or widened,
/// never narrower than the rows, and none at all behind a group-by; the origin stays only while the rows
/// are one dense run of the source.
#[derive(Debug, Default)]
pub struct Output {
    /// Result morsels in row order, each with its target: the task that owns its key groups when the
    /// fragment ends in a partition step, otherwise 0.
    pub morsels: Vec<(u32, Morsel)>,
    /// Rows that came later than the window's allowed lateness, with the schema of the window step's
    /// input; each row exactly once.
    pub late: Vec<Morsel>,
    /// There is more: poll this ticket for the next part.
    pub more: Option<Ticket>,
    /// Time on the device, where it was measured.
    pub elapsed: Option<Duration>,
}

/// Where a failed morsel may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Here, cut into smaller pieces: memory ran out.
    Smaller,
    /// On another device: this one cannot go on.
    Elsewhere,
    /// Nowhere: the data itself is at fault.
    Never,
}

/// Why a ticket failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// The device, its driver or its memory is at fault; the morsel is not.
    #[error("{device}: {reason}")]
    Device {
        /// The device.
        device: DeviceId,
        /// What happened.
        reason: String,
        /// What may help.
        retry: Retry,
    },
    /// A row cannot be computed. The row is the first of the morsel, in row order, that fails; it is
    /// counted over all rows of the submitted morsel, dead ones included, so that the morsel's origin
    /// locates it. Behind a group-by it is the first row of the group.
    #[error("{0}")]
    Row(RowError),
    /// The morsel does not fit the fragment: a bug in the engine, reported as such.
    #[error("{0}")]
    Internal(String),
}

impl Failure {
    /// What may help.
    pub fn retry(&self) -> Retry {
        match self {
            Failure::Device { retry, .. } => *retry,
            Failure::Row(_) | Failure::Internal(_) => Retry::Never,
        }
    }
}

impl From<MorselError> for Failure {
    fn from(error: MorselError) -> Self {
        match error {
            MorselError::Device(e) => {
                Failure::Device { device: e.device.clone(), reason: e.reason, retry: Retry::Elsewhere }
            }
            other => Failure::Internal(other.to_string()),
        }
    }
}
