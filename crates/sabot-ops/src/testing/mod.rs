//! Backends for tests: the reference, one that is late, one that refuses, and some that are wrong.
//!
//! The runtime must give the same results whichever of the first three it is handed; the conformance
//! suite must pass on the first two and fail on every canary. All of them are seeded: the same calls in
//! the same order get the same answers.

mod canary;
mod late;
mod reference;
mod refusing;
#[cfg(test)]
mod tests;

pub use canary::{CanaryBackend, Sabotage};
pub use late::{LateBackend, LateCounters};
pub use reference::ReferenceBackend;
pub use refusing::{RefusingBackend, RefusingCounters};

use crate::{Backend, CompileError, CompileJob, Compiled, Fragment, Kernel, Program};
use std::sync::Arc;

/// A kernel around another one.
type Wrap = Arc<dyn Fn(Box<dyn Kernel>) -> Box<dyn Kernel> + Send + Sync>;

/// A program whose kernels are those of another program, wrapped.
struct Wrapped {
    inner: Arc<dyn Program>,
    wrap: Wrap,
}

impl Program for Wrapped {
    fn kernel(&self) -> Box<dyn Kernel> {
        (self.wrap)(self.inner.kernel())
    }
}

/// Compiles with `inner` and wraps every kernel, also when the compilation takes its time.
fn compile_wrapped(inner: &dyn Backend, fragment: &Fragment, wrap: Wrap) -> Result<CompileJob, CompileError> {
    let wrapped = move |compiled: Compiled| -> Compiled {
        compiled.map(|inner| Arc::new(Wrapped { inner, wrap: wrap.clone() }) as Arc<dyn Program>)
    };
    Ok(match inner.compile(fragment)? {
        CompileJob::Ready(program) => CompileJob::Ready(wrapped(Ok(program))?),
        CompileJob::Pending(mut poll) => CompileJob::Pending(Box::new(move || poll().map(&wrapped))),
    })
}
