//! What would become of the newest checkpoint, without touching anything.

use sabot_checkpoint::{Upgrade, newest_manifest};
use sabot_plan::{PhysicalPlan, StageKind};

use super::{Checkpoints, Places};
use crate::bindings::Bindings;
use crate::build::stages_with_letters;
use crate::error::JobError;

/// What becomes of the newest checkpoint when this job goes on from it; nothing where there is none. Only the store is
/// read.
///
/// # Errors
/// [`JobError::Connect`] where a source cannot be opened; [`JobError::NoCheckpoints`] where the plan cannot have any,
/// [`JobError::Checkpoint`] where those that are there cannot be read, or are another job's.
pub fn upgrade(
    name: &str,
    plan: &PhysicalPlan,
    bindings: &Bindings,
    checkpoints: &Checkpoints,
) -> Result<Option<Upgrade>, JobError> {
    let keyed = |kind: &StageKind| matches!(kind, StageKind::Keyed(_));
    let tasks = |kind: &StageKind| if keyed(kind) { plan.keyed_parallelism as usize } else { 1 };
    let instances: Vec<usize> = plan.stages.iter().map(|stage| tasks(&stage.kind)).collect();
    let places = Places::of(name, plan, &instances, &stages_with_letters(plan, bindings)?)?;
    let failed = |reason: String| JobError::Checkpoint { reason };
    let newest = newest_manifest(&*checkpoints.store).map_err(|error| failed(error.to_string()))?;
    match newest {
        Some(manifest) if manifest.job != name => {
            Err(failed(format!("they are those of the job \"{}\", not of \"{name}\"", manifest.job)))
        }
        Some(manifest) if !(manifest.sources.is_empty() && manifest.operators.is_empty()) => {
            Ok(Some(Upgrade::of(&manifest, &places.topology)))
        }
        _ => Ok(None),
    }
}
