//! Manifests as bytes: one line that says what follows and what its hash is, then JSON.
//!
//! A person can read it, `sha256sum` can check it, and a file that was torn or changed is told from one that
//! a newer version wrote.

use sabot_common::{Epoch, KeyGroups, OperatorId};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

use super::{Manifest, ManifestError, OperatorState};
use crate::hex;

const MAGIC: &str = "sabot-manifest";

impl Manifest {
    /// The bytes of the manifest.
    ///
    /// # Errors
    /// [`ManifestError::Field`] when a field holds what it must not: what cannot be read back is not written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ManifestError> {
        self.check()?;
        let syntax = |e: serde_json::Error| ManifestError::Syntax { problem: e.to_string() };
        let mut body = serde_json::to_vec_pretty(self).map_err(syntax)?;
        body.push(b'\n');
        let mut bytes = format!("{MAGIC} {} sha256:{}\n", Self::FORMAT, hash(&body)).into_bytes();
        bytes.extend(body);
        Ok(bytes)
    }

    /// The manifest in `bytes`.
    ///
    /// # Errors
    /// Every [`ManifestError`]. A newer format is noticed before anything else is looked at.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ManifestError> {
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(ManifestError::NotAManifest)?;
        let (line, body) = (&bytes[..end], &bytes[end + 1..]);
        let (format, wanted) = first_line(line).ok_or(ManifestError::NotAManifest)?;
        if format > Self::FORMAT {
            return Err(ManifestError::Newer { format });
        }
        let found = hash(body);
        if found != wanted {
            return Err(ManifestError::Damaged { wanted: wanted.to_owned(), found });
        }
        let syntax = |e: serde_json::Error| ManifestError::Syntax { problem: e.to_string() };
        let manifest: Self = serde_json::from_slice(body).map_err(syntax)?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), ManifestError> {
        let wrong =
            |field: &str, problem: String| Err(ManifestError::Field { field: field.to_owned(), problem });
        if self.epoch < Epoch::FIRST {
            return wrong("epoch", format!("is {}; epochs start at {}", self.epoch, Epoch::FIRST));
        }
        if self.generation == 0 {
            return wrong("generation", "is 0; generations start at 1".to_owned());
        }
        let groups = match KeyGroups::new(self.key_groups) {
            Ok(groups) => groups,
            Err(error) => return wrong("key_groups", format!("is refused: {error}")),
        };
        unique("operators", self.operators.iter().map(|state| &state.id))?;
        unique("sources", self.sources.iter().map(|state| &state.id))?;
        unique("sinks", self.sinks.iter().map(|state| &state.id))?;
        self.operators.iter().try_for_each(|operator| check_parts(operator, groups))?;
        for source in &self.sources {
            let field = format!("sources[\"{}\"].partitions", source.id);
            let ordinals: BTreeSet<u32> = source.partitions.iter().map(|p| p.ordinal).collect();
            let names: BTreeSet<&str> = source.partitions.iter().map(|p| p.name.as_str()).collect();
            if ordinals.len().min(names.len()) < source.partitions.len() {
                return wrong(&field, "has two with one name or ordinal".to_owned());
            }
        }
        Ok(())
    }
}

/// The parts of an operator lie in its key groups, and no group is in two of them.
fn check_parts(operator: &OperatorState, groups: KeyGroups) -> Result<(), ManifestError> {
    let mut ranges = Vec::new();
    for (index, part) in operator.parts.iter().enumerate() {
        let field = || format!("operators[\"{}\"].parts[{index}].groups", operator.id);
        if let Err(error) = groups.range(part.groups.start..part.groups.end) {
            return Err(ManifestError::Field { field: field(), problem: format!("is refused: {error}") });
        }
        if !part.groups.is_empty() {
            ranges.push((part.groups.start, part.groups.end, index));
        }
    }
    ranges.sort_unstable();
    let twice = ranges.windows(2).find(|pair| pair[0].1 > pair[1].0);
    match twice {
        None => Ok(()),
        Some(pair) => Err(ManifestError::Field {
            field: format!("operators[\"{}\"].parts[{}].groups", operator.id, pair[1].2),
            problem: format!("has group {}, which another part has too", pair[1].0),
        }),
    }
}

fn unique<'a>(field: &str, ids: impl Iterator<Item = &'a OperatorId>) -> Result<(), ManifestError> {
    let mut seen = BTreeSet::new();
    for id in ids {
        if !seen.insert(id) {
            let problem = format!("names \"{id}\" twice");
            return Err(ManifestError::Field { field: field.to_owned(), problem });
        }
    }
    Ok(())
}

/// The format and the hash that the first line names.
fn first_line(line: &[u8]) -> Option<(u32, &str)> {
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let (magic, format, hash) = (words.next()?, words.next()?, words.next()?);
    let format = format.parse().ok().filter(|format| *format >= 1)?;
    let hash = hash.strip_prefix("sha256:")?;
    // What comes behind the hash may have a meaning in a newer format, and has none in this one.
    let whole = format > Manifest::FORMAT || words.next().is_none();
    (magic == MAGIC && whole).then_some((format, hash))
}

fn hash(body: &[u8]) -> String {
    hex::encode(&Sha256::digest(body))
}
