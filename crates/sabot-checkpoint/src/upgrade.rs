//! What becomes of a checkpoint when a job goes on from it that may have changed since.

use sabot_common::{Epoch, OperatorId};
use std::collections::BTreeSet;
use std::fmt;

use crate::{Manifest, OperatorState, StateShape, Topology};

/// What something in a checkpoint or a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Piece {
    /// The job itself.
    Job,
    /// A source, with its positions.
    Source,
    /// An operator, with its state.
    Operator,
    /// A sink.
    Sink,
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Piece::Job => "job",
            Piece::Source => "source",
            Piece::Operator => "operator",
            Piece::Sink => "sink",
        })
    }
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It goes on as it was.
    Unchanged,
    /// It goes on, in another form.
    Restored {
        /// What is different.
        changes: Vec<String>,
    },
    /// The job has it and the checkpoint does not: it begins.
    New,
    /// The checkpoint has it and the job does not: it is lost.
    Dropped,
    /// The checkpoint has it in a form that the job can do nothing with.
    Incompatible {
        /// What is different.
        difference: String,
    },
}

impl Fate {
    fn word(&self) -> &'static str {
        match self {
            Fate::Unchanged => "unchanged",
            Fate::Restored { .. } => "restored",
            Fate::New => "new",
            Fate::Dropped => "dropped",
            Fate::Incompatible { .. } => "incompatible",
        }
    }
}

/// A source, an operator or a sink, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpgradeLine {
    /// What it is.
    pub piece: Piece,
    /// Its stable name.
    pub id: OperatorId,
    /// What becomes of it.
    pub fate: Fate,
}

/// `dropped       operator totals`
impl fmt::Display for UpgradeLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<12}  {:<8}  {}", self.fate.word(), self.piece, self.id)?;
        match &self.fate {
            Fate::Restored { changes } => write!(f, ": {}", changes.join("; ")),
            Fate::Incompatible { difference } => write!(f, ": {difference}"),
            Fate::Unchanged | Fate::New | Fate::Dropped => Ok(()),
        }
    }
}

/// What becomes of a checkpoint, piece by piece; as text, a line each.
///
/// ```
/// # use sabot_checkpoint::{Endpoint, Manifest, Topology, Upgrade};
/// # use sabot_checkpoint::{Fate, SourceState};
/// # use sabot_common::{KeyGroups, OperatorId};
/// let mut manifest = Manifest::first("frauds", 7, KeyGroups::default());
/// manifest.sources.push(SourceState { id: OperatorId::new("cards"), partitions: vec![] });
/// let topology = Topology {
///     job: "frauds".into(),
///     hash_seed: 7,
///     key_groups: KeyGroups::default(),
///     sources: vec![Endpoint { id: OperatorId::new("payments"), tasks: 1 }],
///     operators: vec![],
///     sinks: vec![],
/// };
/// let upgrade = Upgrade::of(&manifest, &topology);
/// assert_eq!(upgrade.to_string(), "epoch 1\nnew           source    payments\ndropped       source    cards\n");
/// assert_eq!(upgrade.lines.iter().find(|line| line.stands_against(true)), None);
/// assert_eq!(upgrade.lines.iter().find(|line| line.stands_against(false)).unwrap().fate, Fate::Dropped);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Upgrade {
    /// The checkpoint's epoch.
    pub epoch: Epoch,
    /// What becomes of each piece: of the job where there is something to say of it, then in the order of the job,
    /// then what is dropped.
    pub lines: Vec<UpgradeLine>,
}

impl UpgradeLine {
    /// Whether the job cannot start because of it, if what is dropped may be lost or not.
    pub fn stands_against(&self, may_drop: bool) -> bool {
        match self.fate {
            Fate::Incompatible { .. } => true,
            // Of a sink that is one file what was committed, and cannot be seen before the end.
            Fate::Dropped => !may_drop,
            Fate::Unchanged | Fate::Restored { .. } | Fate::New => false,
        }
    }
}

impl Upgrade {
    /// What becomes of `manifest` in a job.
    pub fn of(manifest: &Manifest, topology: &Topology) -> Self {
        let mut lines = Vec::new();
        let keying = (manifest.hash_seed, manifest.key_groups);
        if keying != (topology.hash_seed, topology.key_groups.into()) {
            let difference = format!(
                "{} key groups and hash seed {} in the checkpoint, {} and {} in the job",
                manifest.key_groups,
                manifest.hash_seed,
                topology.key_groups.count(),
                topology.hash_seed
            );
            let id = OperatorId::new(topology.job.clone());
            lines.push(UpgradeLine { piece: Piece::Job, id, fate: Fate::Incompatible { difference } });
        }
        let endpoints = |piece, is: Vec<&OperatorId>, was: Vec<&OperatorId>| {
            let known: BTreeSet<&OperatorId> = was.iter().copied().collect();
            let fate = |id: &OperatorId| if known.contains(id) { Fate::Unchanged } else { Fate::New };
            let there: Vec<UpgradeLine> =
                is.iter().map(|id| UpgradeLine { piece, id: (*id).clone(), fate: fate(id) }).collect();
            let gone = was.into_iter().filter(|id| !is.contains(id)).cloned();
            (there, gone.map(|id| UpgradeLine { piece, id, fate: Fate::Dropped }).collect::<Vec<_>>())
        };
        let (sources, gone_sources) = endpoints(
            Piece::Source,
            topology.sources.iter().map(|source| &source.id).collect(),
            manifest.sources.iter().map(|source| &source.id).collect(),
        );
        let (sinks, gone_sinks) = endpoints(
            Piece::Sink,
            topology.sinks.iter().map(|sink| &sink.id).collect(),
            manifest.sinks.iter().map(|sink| &sink.id).collect(),
        );
        lines.extend(sources);
        for operator in &topology.operators {
            let before = manifest.operators.iter().find(|before| before.id == operator.id);
            let fate = before.map_or(Fate::New, |before| {
                fate_of(before, (&operator.kind, &operator.shape), operator.tasks)
            });
            lines.push(UpgradeLine { piece: Piece::Operator, id: operator.id.clone(), fate });
        }
        lines.extend(sinks);
        lines.extend(gone_sources);
        let gone =
            manifest.operators.iter().filter(|before| topology.operators.iter().all(|op| op.id != before.id));
        lines.extend(gone.map(|before| UpgradeLine {
            piece: Piece::Operator,
            id: before.id.clone(),
            fate: Fate::Dropped,
        }));
        lines.extend(gone_sinks);
        Self { epoch: manifest.epoch, lines }
    }
}

fn fate_of(before: &OperatorState, (kind, shape): (&str, &str), tasks: u32) -> Fate {
    if before.kind != kind {
        let difference = format!("it is {} in the checkpoint and {kind} in the job", before.kind);
        return Fate::Incompatible { difference };
    }
    let mut changes = Vec::new();
    if before.shape != shape {
        let shapes =
            before.shape.parse::<StateShape>().and_then(|was| Ok((was, shape.parse::<StateShape>()?)));
        match shapes.map_err(|error| error.to_string()).and_then(|(was, is)| is.changes_since(&was)) {
            Ok(found) => changes = found,
            // The first block of a part is its head, which has no rows.
            Err(_) if before.parts.iter().all(|part| part.blocks.len() <= 1) => {
                changes.push("other columns, of which nothing was kept".to_owned());
            }
            Err(difference) => return Fate::Incompatible { difference },
        }
    }
    // Tasks that had ended have no part, so that their number says something only where there is more than one.
    let parts = before.parts.iter().map(|part| part.task + 1).max().unwrap_or(tasks);
    if parts > tasks || (parts > 1 && parts < tasks) {
        changes.push(format!("the key groups of {parts} tasks go to {tasks}"));
    }
    if changes.is_empty() { Fate::Unchanged } else { Fate::Restored { changes } }
}

impl fmt::Display for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "epoch {}", self.epoch)?;
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
