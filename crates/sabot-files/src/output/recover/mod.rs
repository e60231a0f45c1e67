//! Outputs of jobs with checkpoints: whatever process goes on, it finds on the disk how far the last one came.
//!
//! A checkpoint names the parts that are staged, and is written before they are committed. So a process that
//! goes on may find every state between the two, and every state of making one file of its parts. Names tell
//! them apart, and every step is one rename or one removal that may be repeated.
//!
//! * *Staged*: `.<file>.sabot-<generation>-<task>-<n>`. Committed if a checkpoint names it; else it is of an
//!   earlier generation, and goes when a later one cleans.
//! * *Committed*: in a folder a file under its real name. Of one file `.<file>.sabot-epoch-<epoch>-<task>-<i>`,
//!   until the end of the job. Neither is ever replaced.
//! * *One file*: the committed parts are joined, the whole is renamed to the real name, `.<file>.sabot-finished`
//!   says so, the parts go, and at last the marker. No part and no marker: it was done before. So that this
//!   means nothing else, a job without rows has a part, too.
//!
//! The invariant: a step is on the disk before the next one begins, because a loss of power may undo them in
//! any order otherwise. Without the marker on the disk no part goes, and without all parts gone no marker.

use arrow::datatypes::SchemaRef;
use sabot_common::{Epoch, FailPoint};
use sabot_connect::{Committable, ConnectError};
use std::path::{Path, PathBuf};

use super::disk::{create_empty, hidden_files, remove_if_there};
use super::lock::OutputLock;
use super::names::{Hidden, visible_epoch};
use super::{Shared, State, Target, visible_name};
use crate::paths::parent;

/// A run with checkpoints.
#[derive(Debug, Default)]
pub(super) struct Resumed {
    /// Who stages, once it has taken over. Before that it completes what others have begun.
    generation: Option<u64>,
}

/// Ends a run and leaves everything where it is: a checkpoint may name it.
pub(super) fn leave(state: &mut State) {
    let (parts, finished) = (state.parts, state.finished);
    *state = State { parts, finished, resumed: Some(Resumed::default()), ..State::default() };
}

impl Shared {
    /// Whether this is a run with checkpoints; an error if it was one and is over.
    pub(super) fn is_resumed(&self, state: &State) -> Result<bool, ConnectError> {
        match (&state.resumed, &state.running) {
            (None, _) => Ok(false),
            (Some(_), Some(_)) => Ok(true),
            (Some(_), None) => Err(self.life_cycle("its job has given it up; resume takes it again")),
        }
    }

    pub(super) fn generation(&self, run: &Resumed) -> Result<u64, ConnectError> {
        run.generation
            .ok_or_else(|| self.life_cycle("rows came before clean, which says of which generation"))
    }

    pub(super) fn is_one_file(&self) -> bool {
        matches!(self.target, Target::File { .. })
    }

    /// What was staged is found after a loss of power.
    pub(super) fn settle_staged(&self) -> Result<(), ConnectError> {
        self.store.settle(self.staging.folder())
    }

    pub(super) fn resume(&self, schema: SchemaRef) -> Result<(), ConnectError> {
        self.format.check(&self.name, &schema)?;
        let mut state = self.lock();
        if self.is_live() {
            *state = State::default();
            return Ok(());
        }
        if self.staging.is_scratch() {
            let reason = "its parts are staged among the temporary files of this process".to_owned();
            return Err(ConnectError::NotRecoverable { name: self.name.clone(), reason });
        }
        let lock = match (state.running.take(), &state.resumed) {
            (None, _) => {
                self.create_folder()?;
                OutputLock::take(self.hidden(Hidden::Lock), &self.name)?
            }
            (held, None) => {
                state.running = held;
                return Err(self.life_cycle("a job without checkpoints writes to it"));
            }
            (Some(held), Some(_)) => held,
        };
        // Numbers of parts go on, so that a writer of the run before is never in the way of this one.
        let parts = state.parts;
        *state = State {
            running: Some(lock),
            schema: Some(schema),
            parts,
            resumed: Some(Resumed::default()),
            ..State::default()
        };
        Ok(())
    }

    /// Makes the folder, if it is not there, so that it survives a loss of power.
    fn create_folder(&self) -> Result<(), ConnectError> {
        let folders = self.staging.folder().ancestors().filter(|folder| *folder != Path::new(""));
        let missing: Vec<&Path> = folders.take_while(|folder| !folder.exists()).collect();
        self.staging.create()?;
        missing.iter().try_for_each(|made| self.store.settle(&parent(made)))
    }

    pub(super) fn visible_after(&self, epoch: Epoch) -> Result<bool, ConnectError> {
        match &self.target {
            Target::Stdout => Ok(false),
            Target::Folder { folder } => {
                let (entries, extension) = (self.store.list(folder)?, self.extension());
                let names = entries.iter().filter_map(|entry| entry.name.to_str());
                Ok(names.filter_map(|name| visible_epoch(name, &extension)).any(|visible| visible > epoch))
            }
            Target::File { .. } => {
                let parts = self.committed_parts()?;
                let later = |(hidden, _): &(Hidden, PathBuf)| matches!(hidden, Hidden::Committed { epoch: visible, .. } if *visible > epoch);
                // Of a job that has begun, no part is left once its file is there: it has come to its end.
                // Another job may have made the file, but to replace this job's would lose rows.
                let may_be_whole = epoch > Epoch(0) && parts.is_empty();
                let visible = parts.iter().any(later)
                    || self.is_there(&self.hidden(Hidden::Finished))?
                    || (may_be_whole && self.is_whole()?);
                Ok(visible)
            }
        }
    }

    pub(super) fn clean(&self, generation: u64) -> Result<(), ConnectError> {
        if self.is_live() {
            return Ok(());
        }
        if !self.is_resumed(&self.lock())? {
            return Err(self.life_cycle("resume comes before clean"));
        }
        if self.is_there(&self.hidden(Hidden::Finished))? {
            // Parts that this run commits would go with those of the other.
            let reason =
                "another job has made the file and not ended; let it go on, or remove the hidden files";
            return Err(self.life_cycle(reason));
        }
        self.remove_hidden(|_, hidden| match hidden {
            Some(Hidden::Staged { generation: staged, .. }) => staged < generation,
            Some(Hidden::Part { .. } | Hidden::Whole) => true,
            Some(Hidden::Committed { .. } | Hidden::Finished | Hidden::Lock) | None => false,
        })?;
        self.lock().resumed = Some(Resumed { generation: Some(generation) });
        Ok(())
    }

    /// Commits parts of any epochs. Each stands under its own, so that the order is that of the rows.
    pub(super) fn commit_resumed(&self, staged: &[Committable]) -> Result<(), ConnectError> {
        let mut staged: Vec<&Committable> = staged.iter().collect();
        staged.sort_by_key(|part| (part.epoch, part.task));
        for committable in staged {
            for i in 0..committable.parts.len() {
                self.commit_part(committable, i)?;
            }
        }
        // Also where the renaming was done before: whoever did it may have died before this.
        self.store.settle(self.target.folder())
    }

    fn commit_part(&self, committable: &Committable, i: usize) -> Result<(), ConnectError> {
        let Some(name) = committable.parts.get(i) else { return Ok(()) };
        let (folder, hidden) = (self.target.folder(), self.staging.folder().join(name));
        let committed = match self.is_one_file() {
            false => folder.join(visible_name(committable, i, &self.extension())),
            true => {
                let (epoch, task) = (committable.epoch, committable.task);
                self.hidden(Hidden::Committed { epoch, task, i })
            }
        };
        match (self.is_there(&hidden)?, self.is_there(&committed)?) {
            (true, false) => {
                self.store.publish(&hidden, &committed)?;
                FailPoint::PartCommitted.pass();
            }
            (true, true) => {
                // A rename leaves one of them, so what is there came from elsewhere.
                let found = committed.file_name().map(|name| name.to_string_lossy().into_owned());
                let (path, found) = (folder.to_owned(), found.unwrap_or_default());
                return Err(ConnectError::OutputExists { path, found });
            }
            (false, true) => {}
            (false, false) if self.was_finished()? => {}
            (false, false) => return Err(self.missing(hidden, committable.epoch)),
        }
        self.lock().hidden.remove(name);
        Ok(())
    }

    /// Whether the job before had come to its end when it died, so that committed parts may be gone. A run
    /// that has taken over has not.
    fn was_finished(&self) -> Result<bool, ConnectError> {
        if !self.is_one_file() || self.lock().resumed.as_ref().is_some_and(|run| run.generation.is_some()) {
            return Ok(false);
        }
        Ok(self.is_there(&self.hidden(Hidden::Finished))?
            || (self.committed_parts()?.is_empty() && self.is_whole()?))
    }

    /// Completes the output from whatever state it is in.
    pub(super) fn finish_resumed(&self) -> Result<(), ConnectError> {
        if let Target::File { folder, name } = &self.target {
            self.finish_file(folder, &folder.join(name))?;
        }
        // All that a checkpoint has named is committed, and nothing else will be.
        self.remove_hidden(|_, hidden| {
            matches!(hidden, Some(Hidden::Staged { .. } | Hidden::Part { .. } | Hidden::Whole))
        })?;
        let mut state = self.lock();
        let parts = state.parts;
        *state = State { finished: true, parts, ..State::default() };
        Ok(())
    }

    fn finish_file(&self, folder: &Path, file: &Path) -> Result<(), ConnectError> {
        let parts: Vec<PathBuf> = self.committed_parts()?.into_iter().map(|(_, path)| path).collect();
        if !self.is_there(&self.hidden(Hidden::Finished))? {
            match parts.as_slice() {
                [] => return Ok(()),
                [only] => {
                    // One rename is all the steps at once.
                    self.store.publish(only, file)?;
                    return self.store.settle(folder);
                }
                several => {
                    let whole = self.join(several)?;
                    FailPoint::WholeJoined.pass();
                    self.store.publish(&whole, file)?;
                    FailPoint::WholePublished.pass();
                    self.store.settle(folder)?;
                }
            }
            self.mark_finished(folder)?;
            FailPoint::WholeMarked.pass();
        }
        self.remove_parts(folder, &parts)?;
        FailPoint::PartsRemoved.pass();
        remove_if_there(&self.hidden(Hidden::Finished))?;
        self.store.settle(folder)
    }

    fn mark_finished(&self, folder: &Path) -> Result<(), ConnectError> {
        create_empty(&self.hidden(Hidden::Finished))?;
        self.store.settle(folder)
    }

    fn remove_parts(&self, folder: &Path, parts: &[PathBuf]) -> Result<(), ConnectError> {
        parts.iter().try_for_each(|part| remove_if_there(part))?;
        self.store.settle(folder)
    }

    /// The committed parts of one file, in the order of their rows.
    fn committed_parts(&self) -> Result<Vec<(Hidden, PathBuf)>, ConnectError> {
        let folder = self.staging.folder();
        let files = hidden_files(folder, &self.target.hidden_prefix())?.into_iter();
        let mut parts: Vec<(Hidden, PathBuf)> = files
            .filter_map(|(name, hidden)| hidden.map(|hidden| (hidden, folder.join(name))))
            .filter(|(hidden, _)| matches!(hidden, Hidden::Committed { .. }))
            .collect();
        parts.sort();
        Ok(parts)
    }

    /// Whether something is under the real name of one file.
    fn is_whole(&self) -> Result<bool, ConnectError> {
        match &self.target {
            Target::File { folder, name } => self.is_there(&folder.join(name)),
            Target::Folder { .. } | Target::Stdout => Ok(false),
        }
    }

    fn is_there(&self, path: &Path) -> Result<bool, ConnectError> {
        Ok(self.store.look(path)?.is_some())
    }
}

#[cfg(test)]
mod refusal_tests;
#[cfg(test)]
mod tests;
