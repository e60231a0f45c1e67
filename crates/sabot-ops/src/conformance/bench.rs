//! Puts one case to one backend: asks, compiles, drives, compares.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sabot_batch::Morsel;
use std::sync::Arc;
use std::time::Instant;

use super::data::{self, Alive, Dress, Nulls, Values};
use super::difference::{Equality, Yardstick, compare};
use super::drive::{Limits, Mix, drive};
use super::{CaseName, Options, Sizes};
use crate::{Backend, CompileJob, Failure, Fragment, Output, Program, Support, reference};

/// Why a case did not pass.
#[derive(Debug)]
pub(super) enum NotPassed {
    Refused(String),
    Failed(String),
}

/// A mistake of the suite itself fails the case: it must not look like a pass.
impl<E: std::error::Error> From<E> for NotPassed {
    fn from(error: E) -> Self {
        NotPassed::Failed(format!("the suite could not set up the case: {error}"))
    }
}

pub(super) type Checked = Result<(), NotPassed>;

/// A subject under test, which is a backend unless said otherwise, and what a case needs to test it.
pub(super) struct Bench<'a, S: ?Sized = dyn Backend + 'a> {
    pub(super) subject: &'a S,
    options: &'a Options,
    number: usize,
    pub(super) rng: ChaCha8Rng,
}

impl<'a, S: ?Sized> Bench<'a, S> {
    pub(super) fn new(subject: &'a S, options: &'a Options, number: usize, name: &CaseName) -> Self {
        // Each case has its own numbers, so that it is the same whichever others run.
        let start = name.to_string().bytes().fold(options.seed, |seed, byte| {
            seed.wrapping_mul(0x100_0000_01b3).wrapping_add(u64::from(byte))
        });
        Self { subject, options, number, rng: ChaCha8Rng::seed_from_u64(start) }
    }

    /// Rows of the morsels of this case.
    pub(super) fn sizes(&self) -> Vec<usize> {
        let big = [1023, 1025, 4099];
        match self.options.sizes {
            Sizes::Full => [vec![0, 1, 31, 32, 33, 65], big.to_vec()].concat(),
            Sizes::Quick => {
                let mut sizes = vec![0, 1, 31, 32, 33, 65];
                sizes.extend(self.number.is_multiple_of(8).then(|| big[self.number / 8 % big.len()]));
                sizes
            }
        }
    }

    /// Morsels of a schema in all sizes, with all patterns of nulls and of live rows among them: each
    /// small size meets each pattern of nulls, big sizes meet one. Columns that are not nullable have
    /// no nulls; hidden row numbers count up; other columns have values of the kind `values` gives them.
    pub(super) fn morsels(
        &mut self,
        schema: &SchemaRef,
        kinds: bool,
        values: &dyn Fn(usize) -> Values,
    ) -> Result<Vec<Morsel>, NotPassed> {
        let mut morsels = Vec::new();
        for size in self.sizes() {
            let patterns = if size > 100 { vec![Nulls::Poisoned] } else { Nulls::ALL.to_vec() };
            for nulls in patterns {
                let batch = self.batch(schema, size, nulls, values)?;
                // Three patterns of live rows and four of nulls: the two never stay in step.
                let alive = Alive::ALL[morsels.len() % Alive::ALL.len()];
                morsels.push(data::morsel(&mut self.rng, batch, Dress { alive, kinds })?);
            }
        }
        Ok(morsels)
    }

    /// A batch of a schema.
    pub(super) fn batch(
        &mut self,
        schema: &SchemaRef,
        rows: usize,
        nulls: Nulls,
        values: &dyn Fn(usize) -> Values,
    ) -> Result<RecordBatch, NotPassed> {
        let mut columns = Vec::with_capacity(schema.fields().len());
        for (index, field) in schema.fields().iter().enumerate() {
            columns.push(match field.name().as_str() {
                sabot_batch::hidden::ROW => data::row_numbers(&mut self.rng, rows),
                sabot_batch::hidden::KEY => {
                    let keys = (0..rows).map(|row| row.to_be_bytes());
                    Arc::new(arrow::array::BinaryArray::from_iter_values(keys))
                }
                _ => {
                    let nulls = if field.is_nullable() { nulls } else { Nulls::None };
                    data::column(&mut self.rng, field.data_type(), rows, values(index), nulls)?
                }
            });
        }
        Ok(reference::batch_of(schema, columns, rows)?)
    }

    /// The elements of a list in random order, cut into random groups.
    pub(super) fn random_groups<T>(&mut self, mut list: Vec<T>) -> Vec<Vec<T>> {
        list.shuffle(&mut self.rng);
        let mut groups: Vec<Vec<T>> = Vec::new();
        for element in list {
            match groups.last_mut() {
                Some(group) if self.rng.random_bool(0.6) => group.push(element),
                _ => groups.push(vec![element]),
            }
        }
        groups
    }
}

impl Bench<'_> {
    /// Runs a fragment over morsels and holds every output against the reference. Columns without a
    /// yardstick are held to [`Equality::Exact`].
    pub(super) fn check(&mut self, fragment: &Fragment, inputs: &[Morsel], columns: &[Equality]) -> Checked {
        let yardsticks: Vec<Yardstick> = columns.iter().map(|e| (*e).into()).collect();
        self.check_against(fragment, inputs, &|_| Ok(yardsticks.clone()))
    }

    /// As [`Bench::check`], with yardsticks that depend on the morsel.
    pub(super) fn check_against(
        &mut self,
        fragment: &Fragment,
        inputs: &[Morsel],
        columns: &dyn Fn(&Morsel) -> Result<Vec<Yardstick>, NotPassed>,
    ) -> Checked {
        let results = self.run(fragment, inputs)?;
        for (i, (input, got)) in inputs.iter().zip(&results).enumerate() {
            let expected = reference::run(fragment, input);
            compare(fragment, &expected, got, &columns(input)?).map_err(|difference| {
                let (rows, live) = (input.rows(), input.live_rows());
                NotPassed::Failed(format!("{fragment}: morsel {i} ({rows} rows, {live} alive): {difference}"))
            })?;
        }
        Ok(())
    }

    /// What the backend makes of morsels.
    pub(super) fn run(
        &mut self,
        fragment: &Fragment,
        inputs: &[Morsel],
    ) -> Result<Vec<Result<Output, Failure>>, NotPassed> {
        if let Support::No { reason } = self.subject.supports(fragment) {
            return Err(NotPassed::Refused(reason));
        }
        let program = self.compile(fragment)?;
        let limits = Limits { morsel_rows: self.options.morsel_rows, patience: self.options.patience };
        let mix = if self.rng.random_ratio(1, 4) { Mix::OneByOne } else { Mix::ManyOpen };
        // How often is polled depends on time. What is drawn afterwards must not.
        let mut polls = ChaCha8Rng::seed_from_u64(self.rng.random());
        drive(program.kernel().as_mut(), inputs, mix, &limits, &mut polls)
            .map_err(|problem| NotPassed::Failed(format!("{fragment}: {problem}")))
    }

    fn compile(&self, fragment: &Fragment) -> Result<Arc<dyn Program>, NotPassed> {
        let failed = |reason: String| NotPassed::Failed(format!("{fragment}: {reason}"));
        match self.subject.compile(fragment).map_err(|e| failed(e.to_string()))? {
            CompileJob::Ready(program) => Ok(program),
            CompileJob::Pending(mut poll) => {
                let start = Instant::now();
                while start.elapsed() < self.options.patience {
                    if let Some(compiled) = poll() {
                        return compiled.map_err(|e| failed(e.to_string()));
                    }
                    std::thread::yield_now();
                }
                Err(failed(format!("not compiled after {:?}", self.options.patience)))
            }
        }
    }
}
