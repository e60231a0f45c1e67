//! Which program runs a fragment: the device that was chosen, and the CPU that always can.

use sabot_common::{DeviceId, OperatorId};
use sabot_ops::{Backend, CompileJob, Fragment, Program, Support};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::JobError;
use crate::job::JobCore;

/// How long a job waits for a compiler before it starts without.
const COMPILE_MAX: Duration = Duration::from_secs(60);

type Chosen = (DeviceId, Arc<dyn Program>);

/// The programs of one stage, compiled once and shared by its tasks.
pub(crate) struct Programs {
    cpu: Arc<dyn Program>,
    primary: Mutex<Primary>,
    /// A user function's own mistakes are not the engine's.
    user_code: bool,
    /// Tickets that are worth keeping open beyond the lanes' own.
    depth: usize,
}

enum Primary {
    None,
    Compiling(DeviceId, CompileJob),
    Ready(Chosen),
}

impl Programs {
    /// The first of `backends` that supports the fragment, with `cpu` behind it; `compile_first` waits for its compiler.
    pub(crate) fn choose(
        operator: &OperatorId,
        fragment: &Fragment,
        (backends, compile_first): (&[Arc<dyn Backend>], bool),
        cpu: &dyn Backend,
        job: &JobCore,
    ) -> Result<Self, JobError> {
        let ready = match cpu.compile(fragment) {
            Ok(CompileJob::Ready(program)) => program,
            Ok(CompileJob::Pending(_)) => {
                return Err(JobError::internal(operator, "the CPU backend compiles in the background"));
            }
            Err(error) => return Err(JobError::internal(operator, error)),
        };
        let mut primary = Primary::None;
        for backend in backends {
            match backend.supports(fragment) {
                Support::Yes => match backend.compile(fragment) {
                    Ok(compile) => {
                        primary = Primary::Compiling(backend.device(), compile);
                        break;
                    }
                    Err(error) => tracing::warn!(%operator, %error, "another device serves"),
                },
                Support::No { reason } => {
                    tracing::debug!(%operator, device = %backend.device(), reason, "fragment refused");
                    job.counters.refused_fragments.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        if compile_first && let Primary::Compiling(device, CompileJob::Pending(ask)) = &mut primary {
            let since = Instant::now();
            let compiled = loop {
                match ask() {
                    // It takes from milliseconds to a second.
                    None if since.elapsed() < COMPILE_MAX => std::thread::sleep(Duration::from_millis(1)),
                    compiled => break compiled,
                }
            };
            match compiled {
                Some(Ok(program)) => primary = Primary::Ready((device.clone(), program)),
                Some(Err(error)) => {
                    tracing::warn!(%operator, %error, "the CPU serves");
                    primary = Primary::None;
                }
                None => tracing::warn!(%operator, %device, "still compiling; the CPU serves in the meantime"),
            }
        }
        let depth = if matches!(primary, Primary::None) { 0 } else { 6 };
        Ok(Self { cpu: ready, primary: Mutex::new(primary), user_code: false, depth })
    }

    /// A program of the user's own code.
    pub(crate) fn user(program: Arc<dyn Program>) -> Self {
        Self { user_code: true, ..Self::on_cpu(program) }
    }

    /// A program that no other device has.
    pub(crate) fn on_cpu(program: Arc<dyn Program>) -> Self {
        Self { cpu: program, primary: Mutex::new(Primary::None), user_code: false, depth: 0 }
    }

    pub(crate) fn cpu(&self) -> &Arc<dyn Program> {
        &self.cpu
    }

    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    pub(crate) fn start(self: &Arc<Self>) -> Compiled {
        Compiled(self.clone())
    }

    /// What a failure that is neither a row's nor a device's means here.
    pub(crate) fn internal(&self, operator: &OperatorId, message: String) -> JobError {
        match self.user_code {
            true => JobError::UserFunction { operator: operator.clone(), message },
            false => JobError::internal(operator, message),
        }
    }
}

/// A lane's view of a program that may still be compiling.
pub(crate) struct Compiled(Arc<Programs>);

impl Compiled {
    /// The chosen device's program, once it is there.
    pub(crate) fn poll(&mut self) -> Option<Chosen> {
        let mut primary = self.0.primary.lock().unwrap_or_else(PoisonError::into_inner);
        let finished = match &mut *primary {
            Primary::None => return None,
            Primary::Ready(chosen) => return Some(chosen.clone()),
            Primary::Compiling(device, CompileJob::Ready(program)) => {
                Some(Ok((device.clone(), program.clone())))
            }
            Primary::Compiling(device, CompileJob::Pending(ask)) => {
                ask().map(|result| result.map(|program| (device.clone(), program)))
            }
        };
        match finished? {
            Ok(chosen) => {
                *primary = Primary::Ready(chosen.clone());
                Some(chosen)
            }
            Err(error) => {
                tracing::warn!(%error, "the CPU goes on serving");
                *primary = Primary::None;
                None
            }
        }
    }
}
