//! Tasks on the engine's own rayon pool.
//!
//! A task is stepped by one worker at a time and never blocks it: a task that cannot go on says so and
//! is stepped again after its waker was called. Ready tasks are taken downstream first, so that memory
//! is freed before more is let in. A worker without a ready task ends its pool job and is spawned anew
//! on the next wake: the pool's own sleeping and stealing keep working for the bursts (`rayon::join`
//! and the like) that operators run inside a step.

use rayon::{ThreadPool, ThreadPoolBuilder};
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::thread::JoinHandle;

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Something was done and more may follow.
    Progress,
    /// As `Progress`, with work that nobody downstream waits for: those upstream have their turn before the next of it.
    Aside,
    /// Nothing to do until the waker is called.
    Blocked,
    /// Done for good.
    Finished,
}

/// Something the scheduler steps.
pub(crate) trait Task: Send {
    /// Does a bounded amount of work.
    fn step(&mut self) -> Step;
}

/// What a task's owner wants to hear of it.
pub(crate) trait TaskOwner: Send + Sync {
    /// Whether the task should be dropped instead of stepped.
    fn cancelled(&self) -> bool;
    /// The task panicked with this message; it is gone.
    fn panicked(&self, task: &str, message: String);
    /// The task is gone, for whatever reason.
    fn gone(&self);
}

const IDLE: u8 = 0;
const READY: u8 = 1;
const RUNNING: u8 = 2;
/// Running, and woken meanwhile: it must be stepped again.
const WOKEN: u8 = 3;
const GONE: u8 = 4;

/// A task with its scheduling state. Waking it is calling its [`Waker`].
pub(crate) struct TaskCell {
    name: String,
    /// Distance from the sources: the larger, the sooner it is stepped.
    depth: usize,
    state: AtomicU8,
    body: Mutex<Option<Box<dyn Task>>>,
    owner: Arc<dyn TaskOwner>,
    scheduler: Arc<Shared>,
}

impl TaskCell {
    pub(crate) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(self.clone())
    }

    /// Takes the task back out of a cell that will never run; a task and its wakers hold each other.
    pub(crate) fn clear(&self) {
        drop(lock(&self.body).take());
    }

    /// Gives the cell its task; a cell is made first so that wakers can be handed out.
    pub(crate) fn fill(&self, body: Box<dyn Task>) {
        *lock(&self.body) = Some(body);
    }

    fn make_ready(self: &Arc<Self>) {
        loop {
            let (from, to) = match self.state.load(Ordering::SeqCst) {
                IDLE => (IDLE, READY),
                RUNNING => (RUNNING, WOKEN),
                _ => return,
            };
            if self.state.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                if to == READY {
                    self.scheduler.push(self.clone());
                }
                return;
            }
        }
    }

    fn run(self: &Arc<Self>) {
        self.state.store(RUNNING, Ordering::SeqCst);
        let step = {
            let mut body = lock(&self.body);
            if self.owner.cancelled() {
                Step::Finished
            } else {
                match body.as_mut().map(|task| catch_unwind(AssertUnwindSafe(|| task.step()))) {
                    Some(Ok(step)) => step,
                    Some(Err(payload)) => {
                        self.owner.panicked(&self.name, panic_message(payload.as_ref()));
                        Step::Finished
                    }
                    None => Step::Finished,
                }
            }
        };
        match step {
            Step::Progress => {
                self.state.store(READY, Ordering::SeqCst);
                self.scheduler.put_back(self.clone(), self.depth);
            }
            Step::Aside => {
                self.state.store(READY, Ordering::SeqCst);
                self.scheduler.put_back(self.clone(), 0);
            }
            Step::Blocked => {
                if self.state.compare_exchange(RUNNING, IDLE, Ordering::SeqCst, Ordering::SeqCst).is_err() {
                    self.state.store(READY, Ordering::SeqCst);
                    self.scheduler.put_back(self.clone(), self.depth);
                }
            }
            Step::Finished => {
                self.state.store(GONE, Ordering::SeqCst);
                let body = lock(&self.body).take();
                // Dropping user code may panic too; the task is gone either way.
                if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(body))) {
                    self.owner.panicked(&self.name, panic_message(payload.as_ref()));
                }
                self.owner.gone();
            }
        }
    }
}

impl Wake for TaskCell {
    fn wake(self: Arc<Self>) {
        self.make_ready();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.make_ready();
    }
}

/// The text of a panic's payload.
pub(crate) fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

/// The workers of an engine.
pub(crate) struct Scheduler {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    pool: Mutex<Option<Arc<ThreadPool>>>,
    workers: usize,
    active: AtomicUsize,
    taken: AtomicU64,
    /// Jobs handed to the pool beside the tasks that have not begun.
    spawned: AtomicUsize,
    /// A worker that was asked for came to a thread that was inside a step and went away again.
    turned_away: AtomicBool,
    ready: Mutex<BTreeMap<usize, VecDeque<Arc<TaskCell>>>>,
}

thread_local! {
    /// Whether this thread belongs to an engine.
    static OF_ENGINE: Cell<bool> = const { Cell::new(false) };
    /// Whether this thread is inside a worker's loop already: a step that waits in `rayon::join` may
    /// be handed another worker's pool job, and stepping tasks from inside a step could recurse.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread is a thread of an engine: it must not wait for one.
pub(crate) fn on_worker() -> bool {
    OF_ENGINE.get()
}

impl Scheduler {
    /// Starts `workers` threads.
    pub(crate) fn new(workers: usize) -> Result<Self, String> {
        let workers = workers.max(1);
        let mut threads = Vec::with_capacity(workers);
        let pool = ThreadPoolBuilder::new()
            .num_threads(workers)
            .spawn_handler(|thread| {
                let name = format!("sabot-{}", thread.index());
                let body = || {
                    OF_ENGINE.set(true);
                    thread.run();
                };
                threads.push(std::thread::Builder::new().name(name).spawn(body)?);
                Ok(())
            })
            .build()
            .map_err(|e| e.to_string())?;
        let shared = Shared {
            pool: Mutex::new(Some(Arc::new(pool))),
            workers,
            active: AtomicUsize::new(0),
            taken: AtomicU64::new(0),
            spawned: AtomicUsize::new(0),
            turned_away: AtomicBool::new(false),
            ready: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared), threads: Mutex::new(threads) })
    }

    /// Worker threads.
    pub(crate) fn workers(&self) -> usize {
        self.shared.workers
    }

    /// A cell for a task of `owner`; it does nothing until it is filled and woken.
    pub(crate) fn cell(&self, name: String, depth: usize, owner: Arc<dyn TaskOwner>) -> Arc<TaskCell> {
        let (state, body) = (AtomicU8::new(IDLE), Mutex::new(None));
        Arc::new(TaskCell { name, depth, state, body, owner, scheduler: self.shared.clone() })
    }

    /// Something that runs jobs on the pool beside the tasks.
    pub(crate) fn spawner(&self) -> Arc<dyn sabot_connect::Spawner> {
        Arc::new(PoolSpawner(self.shared.clone()))
    }
}

impl Drop for Scheduler {
    /// Ends the threads and waits for them, unless the engine is dropped by one of its own threads.
    fn drop(&mut self) {
        drop(lock(&self.shared.pool).take());
        let here = std::thread::current().id();
        for thread in lock(&self.threads).drain(..).filter(|t| t.thread().id() != here) {
            // A worker's panic was reported by the task that caused it.
            let _ = thread.join();
        }
    }
}

struct PoolSpawner(Arc<Shared>);

impl std::fmt::Debug for PoolSpawner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PoolSpawner({} workers)", self.0.workers)
    }
}

impl sabot_connect::Spawner for PoolSpawner {
    fn threads(&self) -> usize {
        self.0.workers
    }

    fn spawn(&self, job: Box<dyn FnOnce() + Send>) {
        // A job whose engine is gone has nobody to work for.
        if let Some(pool) = lock(&self.0.pool).clone() {
            self.0.spawned.fetch_add(1, Ordering::SeqCst);
            let shared = self.0.clone();
            // First in, first out: what a source needs first was asked for first.
            pool.spawn_fifo(move || {
                shared.spawned.fetch_sub(1, Ordering::SeqCst);
                job();
            });
        }
    }
}

impl Shared {
    fn push(self: &Arc<Self>, cell: Arc<TaskCell>) {
        lock(&self.ready).entry(cell.depth).or_default().push_back(cell);
        self.start_worker();
    }

    /// As `push`, from a worker that goes on to take a task itself: it asks for help only if there is
    /// more to do than that. It is ready among the tasks of `depth`.
    fn put_back(self: &Arc<Self>, cell: Arc<TaskCell>, depth: usize) {
        let alone = {
            let mut ready = lock(&self.ready);
            let alone = ready.is_empty();
            ready.entry(depth).or_default().push_back(cell);
            alone
        };
        if !alone {
            self.start_worker();
        }
    }

    fn start_worker(self: &Arc<Self>) {
        let more = |n: usize| (n < self.workers).then_some(n + 1);
        if self.active.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_err() {
            return;
        }
        let Some(pool) = lock(&self.pool).clone() else { return };
        let shared = self.clone();
        pool.spawn(move || shared.work());
    }

    fn work(self: Arc<Self>) {
        if INSIDE.get() {
            // The loop below us on this stack takes the ready tasks when its step returns, and every
            // other thread may: nobody is forgotten.
            self.active.fetch_sub(1, Ordering::SeqCst);
            self.turned_away.store(true, Ordering::SeqCst);
            return;
        }
        INSIDE.set(true);
        loop {
            while let Some(cell) = self.take() {
                cell.run();
                if self.turned_away.swap(false, Ordering::SeqCst) {
                    self.start_worker();
                }
                // Jobs beside the tasks, decoding above all, get their turn between two steps.
                if self.spawned.load(Ordering::SeqCst) > 0 {
                    rayon::yield_now();
                }
            }
            self.active.fetch_sub(1, Ordering::SeqCst);
            // A task may have become ready after the last look and before the count went down.
            let more = |n: usize| (n < self.workers).then_some(n + 1);
            let again = !lock(&self.ready).is_empty()
                && self.active.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok();
            if !again {
                break;
            }
        }
        INSIDE.set(false);
    }

    /// The ready task that is furthest downstream; every 64th time the one furthest upstream, so that
    /// a busy job cannot starve another one's sources.
    fn take(&self) -> Option<Arc<TaskCell>> {
        let turn = self.taken.fetch_add(1, Ordering::Relaxed);
        let mut ready = lock(&self.ready);
        let mut entry = if turn % 64 == 63 { ready.first_entry()? } else { ready.last_entry()? };
        let cell = entry.get_mut().pop_front();
        if entry.get().is_empty() {
            entry.remove();
        }
        cell
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
