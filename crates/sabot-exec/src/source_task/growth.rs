//! Partitions that come while a job runs.
//!
//! A source that may grow is asked from time to time, and whenever it says that something has changed.
//! It may have to ask a broker for that, so it is asked on the engine's threads and never by a task.
//! What it names anew goes to the tasks of the source in turn; when it can name nothing more, all of
//! them hear it.

use sabot_connect::PartitionId;
use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Wake, Waker};
use std::time::Duration;

use super::partition::{NewPartition, SourceContext};
use crate::error::JobError;
use crate::job::SourceControl;
use crate::scheduler::panic_message;
use crate::timers::Alarm;

/// The most tasks that a source gets; further partitions share them.
const TASKS_MAX: usize = 64;
/// The hidden partition ordinal keeps 20 bits for the partition.
pub(crate) const PARTITIONS_MAX: usize = 1 << 20;

/// How many tasks read a source with so many partitions. One that may grow has a task for each worker,
/// so that partitions that come later are not all read by one.
pub(crate) fn tasks_of(partitions: usize, may_grow: bool, workers: usize) -> usize {
    partitions.max(if may_grow { workers.max(1) } else { 0 }).min(TASKS_MAX)
}

/// Numbers partitions in the order of discovery.
pub(crate) fn number(ids: &[PartitionId]) -> Vec<NewPartition> {
    (0u32..).zip(ids).map(|(number, id)| NewPartition { id: id.clone(), number, from: None }).collect()
}

/// Deals partitions out to `tasks` tasks.
pub(crate) fn deal(partitions: Vec<NewPartition>, tasks: usize) -> Vec<VecDeque<NewPartition>> {
    let mut dealt = vec![VecDeque::new(); tasks];
    for (index, partition) in partitions.into_iter().enumerate() {
        if let Some(task) = dealt.get_mut(index % tasks.max(1)) {
            task.push_back(partition);
        }
    }
    dealt
}

/// Asks a source for partitions as long as its tasks are there.
pub(crate) struct Growth {
    context: Arc<SourceContext>,
    interval: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tasks: Vec<Arc<SourceControl>>,
    known: HashSet<PartitionId>,
    asking: bool,
    /// Something changed while the source was being asked.
    again: bool,
    complete: bool,
    alarm: Option<Alarm>,
}

impl Growth {
    pub(crate) fn new(context: Arc<SourceContext>, known: &[PartitionId], interval: Duration) -> Arc<Self> {
        let state = State { known: known.iter().cloned().collect(), ..State::default() };
        Arc::new(Self { context, interval, state: Mutex::new(state) })
    }

    /// Begins, once all tasks of the source are there.
    pub(crate) fn start(self: &Arc<Self>, tasks: Vec<Arc<SourceControl>>) {
        self.lock().tasks = tasks;
        self.ask();
    }

    fn ask(self: &Arc<Self>) {
        {
            let mut state = self.lock();
            if state.complete || state.tasks.is_empty() {
                return;
            }
            if state.asking {
                state.again = true;
                return;
            }
            state.asking = true;
        }
        let growth = self.clone();
        self.context.spawner.spawn(Box::new(move || {
            let context = growth.context.clone();
            let failed = match catch_unwind(AssertUnwindSafe(|| growth.discover())) {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error,
                Err(panic) => JobError::Panicked {
                    operator: context.operator.clone(),
                    message: panic_message(panic.as_ref()),
                },
            };
            context.job.fail(failed);
        }));
    }

    fn discover(self: &Arc<Self>) -> Result<(), JobError> {
        let context = &self.context;
        loop {
            // Whatever comes from here on is told; whatever came before is found.
            context.source.on_growth(Waker::from(Arc::new(Notice(Arc::downgrade(self)))));
            let may_grow = context.source.may_grow();
            let found = context.source.discover().map_err(|e| JobError::connect(&context.operator, e))?;
            self.take_in(found, may_grow)?;
            let mut state = self.lock();
            if !std::mem::take(&mut state.again) || state.complete {
                state.asking = false;
                if !state.complete {
                    let notice = Waker::from(Arc::new(Notice(Arc::downgrade(self))));
                    state.alarm = Some(context.timers.alarm(self.interval, notice));
                }
                return Ok(());
            }
        }
    }

    fn take_in(&self, found: Vec<PartitionId>, may_grow: bool) -> Result<(), JobError> {
        let mut state = self.lock();
        let mut woken = HashSet::new();
        for id in found {
            if state.known.contains(&id) {
                continue;
            }
            let number = state.known.len();
            if number >= PARTITIONS_MAX {
                return Err(too_many(&self.context, number + 1));
            }
            let task = number % state.tasks.len();
            let new = NewPartition { id: id.clone(), number: number as u32, from: None };
            state.known.insert(id);
            let mut orders = state.tasks[task].orders.lock().unwrap_or_else(PoisonError::into_inner);
            orders.partitions.push(new);
            woken.insert(task);
        }
        if !may_grow {
            state.complete = true;
            for (index, task) in state.tasks.iter().enumerate() {
                task.orders.lock().unwrap_or_else(PoisonError::into_inner).complete = true;
                woken.insert(index);
            }
        }
        for index in woken {
            state.tasks[index].pending.store(true, Ordering::SeqCst);
            state.tasks[index].waker.wake_by_ref();
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error for more partitions than rows can be ordered by.
pub(crate) fn too_many(context: &SourceContext, partitions: usize) -> JobError {
    let message = format!("{partitions} partitions; a source can have {PARTITIONS_MAX}");
    JobError::Operator { operator: context.operator.clone(), message }
}

/// Asks again when it is woken, as long as somebody wants to know.
struct Notice(Weak<Growth>);

impl Wake for Notice {
    fn wake(self: Arc<Self>) {
        if let Some(growth) = self.0.upgrade() {
            growth.ask();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(n: usize) -> Vec<PartitionId> {
        (0..n).map(|i| PartitionId::new(format!("p{i}"))).collect()
    }

    #[test]
    fn a_partition_has_a_task_of_its_own_until_there_are_very_many() {
        assert_eq!(tasks_of(0, false, 4), 0);
        assert_eq!(tasks_of(3, false, 4), 3);
        assert_eq!(tasks_of(0, true, 4), 4);
        assert_eq!(tasks_of(10_000, false, 4), 64);
    }

    #[test]
    fn every_partition_is_dealt_to_one_task_with_its_number() {
        let dealt = deal(number(&ids(7)), 3);
        let numbers: Vec<Vec<u32>> = dealt.iter().map(|t| t.iter().map(|p| p.number).collect()).collect();
        assert_eq!(numbers, [vec![0, 3, 6], vec![1, 4], vec![2, 5]]);
        assert!(deal(Vec::new(), 0).is_empty());
    }
}
