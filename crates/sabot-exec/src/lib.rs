//! The runtime: tasks, queues, workers, exchange, tickets, barriers.
//!
//! A [`PhysicalPlan`](sabot_plan::PhysicalPlan) becomes tasks on the engine's own rayon pool. A task
//! never blocks its worker: with a full output, an open ticket or no input it gives way, and is woken
//! when that changes. Queues between tasks are bounded in morsels and open to control elements, memory
//! in flight is charged to a budget that stops sources, and rows keep their order from a source to the
//! first exchange. Sinks commit when every task has ended well, and abort otherwise.
#![forbid(unsafe_code)]

mod bindings;
mod budget;
mod build;
mod checkpoint;
mod edge;
mod element;
mod ending;
mod engine;
mod error;
mod event_times;
mod fragment_task;
mod gate;
mod gathering;
mod handle;
mod inputs;
mod job;
mod keyed_task;
mod lookup_join;
mod map_batches;
mod metrics;
mod order;
mod outputs;
mod pauses;
mod placement;
mod programs;
mod scheduler;
mod shadow;
mod sink_task;
mod slots;
mod source_task;
mod stage_waker;
mod supervisor;
mod timers;

pub use bindings::{BatchFunction, Bindings};
pub use budget::MemoryBudget;
pub use checkpoint::{Checkpoints, upgrade};
pub use element::{Barrier, BarrierKind};
pub use engine::{Engine, EngineConfig};
pub use error::JobError;
pub use handle::JobHandle;
pub use job::{Snapshot, Stop};
pub use metrics::{JobMetrics, SourceMetrics, StageMetrics};
pub use pauses::BarrierPauses;
pub use placement::Planner;
pub use shadow::{ShadowCounters, Shadowed};
