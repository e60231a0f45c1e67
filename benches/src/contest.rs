//! A workload, done by Sabot and by somebody else.
//!
//! First both results are held against the expected checksum: a wrong result ends the program, under
//! `cargo test` as under `cargo bench`. Then, where times are wanted at all, the two take turns within one
//! run, because a ratio between figures of different minutes says as much about the machine as about the
//! code. Criterion's own figures stand beside it for the history.

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use std::cell::RefCell;
use std::hint::black_box;
use std::time::Instant;

/// Turns that each side takes when they are compared; one more comes before, unmeasured.
const ROUNDS: usize = 9;

/// How much data a benchmark works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Rows in all.
    pub rows: usize,
    /// Rows of a morsel; the last one has fewer.
    pub morsel_rows: usize,
}

impl Size {
    /// The size for this run: large where something is measured, small where `cargo test` only wants to
    /// know that everything works.
    pub fn of_this_run() -> Self {
        match measuring() {
            true => Self { rows: (1 << 20) + 7, morsel_rows: 16 << 10 },
            false => Self { rows: 10_007, morsel_rows: 1_000 },
        }
    }
}

/// Whether times are taken in this run. Criterion decides by the same arguments.
pub fn measuring() -> bool {
    let has = |name: &str| std::env::args().any(|argument| argument == name);
    has("--bench") && !has("--test") && !has("--list")
}

/// Who the other side is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// Somebody who does the same work.
    Peer(&'static str),
    /// Something that no implementation can beat.
    Ceiling(&'static str),
}

impl Against {
    fn name(self) -> &'static str {
        match self {
            Against::Peer(name) | Against::Ceiling(name) => name,
        }
    }
}

/// One side: does the work; asked for it, says the checksum of the result.
type Side<'a> = Box<dyn FnMut(bool) -> Option<u64> + 'a>;

fn side<'a, T>(mut work: impl FnMut() -> T + 'a, checksum: impl Fn(&T) -> u64 + 'a) -> Side<'a> {
    Box::new(move |wanted| {
        let result = black_box(work());
        wanted.then(|| checksum(&result))
    })
}

/// A workload with its data and what must come out.
#[derive(Clone, Debug)]
pub struct Contest {
    /// The operator: criterion's group.
    pub group: &'static str,
    /// The variant within the group.
    pub name: String,
    /// Rows that go in.
    pub rows: u64,
    /// Bytes that go in.
    pub bytes: u64,
    /// Checksum of the result, computed naively.
    pub expected: u64,
}

impl Contest {
    /// Checks and times Sabot against a peer that does the same work.
    ///
    /// # Panics
    /// When one of the two has another result than expected.
    pub fn with_peer<T, P>(
        self,
        criterion: &mut Criterion,
        (ours, our_sum): (impl FnMut() -> T, impl Fn(&T) -> u64),
        peer: &'static str,
        (theirs, their_sum): (impl FnMut() -> P, impl Fn(&P) -> u64),
    ) {
        self.run(criterion, side(ours, our_sum), Against::Peer(peer), side(theirs, their_sum));
    }

    /// Checks and times Sabot against what the machine allows at best, which has no result to check.
    ///
    /// # Panics
    /// When Sabot has another result than expected.
    pub fn with_ceiling<T>(
        self,
        criterion: &mut Criterion,
        (ours, our_sum): (impl FnMut() -> T, impl Fn(&T) -> u64),
        ceiling: &'static str,
        best: impl FnMut(),
    ) {
        let expected = self.expected;
        self.run(criterion, side(ours, our_sum), Against::Ceiling(ceiling), side(best, |()| expected));
    }

    fn run(&self, criterion: &mut Criterion, mut ours: Side<'_>, against: Against, mut theirs: Side<'_>) {
        self.check("sabot", &mut ours);
        self.check(against.name(), &mut theirs);
        let Contest { group, name, rows, bytes, expected } = self;
        say(&format!("{group}/{name}: {rows} rows, {bytes} bytes, checksum {expected:016x}"));

        let (ours, theirs) = (RefCell::new(ours), RefCell::new(theirs));
        let mut compared = !measuring();
        let mut benches = criterion.benchmark_group(*group);
        benches.throughput(Throughput::ElementsAndBytes { elements: *rows, bytes: *bytes });
        benches.sampling_mode(SamplingMode::Flat).sample_size(20);
        benches.bench_function(BenchmarkId::new("sabot", name), |bencher| {
            // Here, because criterion calls this only for what its filter lets through.
            if !std::mem::replace(&mut compared, true) {
                let times = take_turns(&mut ours.borrow_mut(), &mut theirs.borrow_mut());
                say(&format!("{group}/{name}: {}", verdict(against, &times)));
            }
            bencher.iter(|| ours.borrow_mut()(false));
        });
        benches.bench_function(BenchmarkId::new(against.name(), name), |bencher| {
            bencher.iter(|| theirs.borrow_mut()(false));
        });
        benches.finish();
    }

    fn check(&self, who: &str, side: &mut Side<'_>) {
        let (found, expected) = (side(true).unwrap_or_default(), self.expected);
        let (group, name) = (self.group, &self.name);
        assert!(
            found == expected,
            "{group}/{name}: the result of {who} has checksum {found:016x}, expected is {expected:016x}"
        );
    }
}

#[allow(clippy::print_stdout, reason = "a benchmark says what it measures")]
fn say(line: &str) {
    println!("{line}");
}

/// Seconds of each turn, ours and theirs.
fn take_turns(ours: &mut Side<'_>, theirs: &mut Side<'_>) -> Vec<(f64, f64)> {
    let time = |side: &mut Side<'_>| {
        let start = Instant::now();
        side(false);
        start.elapsed().as_secs_f64()
    };
    let rounds = (0..=ROUNDS).map(|_| (time(ours), time(theirs)));
    rounds.skip(1).collect()
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// What the turns came to: how often Sabot does the work while the other does it once.
fn verdict(against: Against, turns: &[(f64, f64)]) -> String {
    let (ours, theirs) = (sorted(turns.iter().map(|t| t.0)), sorted(turns.iter().map(|t| t.1)));
    let ratios = sorted(turns.iter().map(|(ours, theirs)| theirs / ours.max(f64::MIN_POSITIVE)));
    let (Some(slowest), Some(fastest)) = (ours.last(), theirs.first()) else {
        return "not measured".to_owned();
    };
    let (low, middle, high) = (ratios[0], ratios[ratios.len() / 2], ratios[ratios.len() - 1]);
    match against {
        Against::Peer(name) => {
            let won =
                if slowest < fastest { "its slowest run beats" } else { "its slowest run does not beat" };
            format!("{middle:.2} × {name} ({low:.2} to {high:.2}); {won} the peer's fastest")
        }
        Against::Ceiling(name) => {
            let percent = |ratio: f64| ratio * 100.0;
            format!("{:.0} % of {name} ({:.0} to {:.0})", percent(middle), percent(low), percent(high))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contest(expected: u64) -> Contest {
        Contest { group: "test", name: "one".to_owned(), rows: 1, bytes: 8, expected }
    }

    fn quiet() -> Criterion {
        Criterion::default().without_plots()
    }

    #[test]
    #[should_panic(
        expected = "test/one: the result of sabot has checksum 0000000000000004, expected is 0000000000000005"
    )]
    fn a_wrong_result_ends_the_run() {
        contest(5).with_ceiling(&mut quiet(), (|| 4u64, |x: &u64| *x), "nothing", || {});
    }

    #[test]
    #[should_panic(expected = "the result of the peer has checksum")]
    fn a_peer_that_does_other_work_ends_the_run() {
        let right = (|| 5u64, |x: &u64| *x);
        contest(5).with_peer(&mut quiet(), right, "the peer", (|| 6u64, |x: &u64| *x));
    }

    #[test]
    fn a_verdict_names_median_range_and_whether_it_was_won() {
        let turns = [(1.0, 2.0), (1.0, 3.0), (0.5, 2.0)];
        let text = verdict(Against::Peer("them"), &turns);
        assert_eq!(text, "3.00 × them (2.00 to 4.00); its slowest run beats the peer's fastest");
        let text = verdict(Against::Peer("them"), &[(1.0, 2.0), (2.5, 2.0), (1.0, 1.0)]);
        assert_eq!(text, "1.00 × them (0.80 to 2.00); its slowest run does not beat the peer's fastest");
        assert_eq!(verdict(Against::Ceiling("copying"), &[(4.0, 1.0)]), "25 % of copying (25 to 25)");
    }

    #[test]
    fn both_sides_take_turns_and_the_first_turn_does_not_count() {
        let order = RefCell::new(Vec::new());
        let mut a = side(|| order.borrow_mut().push('a'), |()| 0);
        let mut b = side(|| order.borrow_mut().push('b'), |()| 0);
        assert_eq!(take_turns(&mut a, &mut b).len(), ROUNDS);
        drop((a, b));
        assert_eq!(order.into_inner(), ['a', 'b'].repeat(ROUNDS + 1));
    }
}
