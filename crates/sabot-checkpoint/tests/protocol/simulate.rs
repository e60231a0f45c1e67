//! Random walks through larger worlds, in virtual time.
//!
//! A seed decides everything: the size of the world, what fails, who is paused, how the clock jumps. First
//! everything may go wrong; then nothing more does, and the job has to come to its end within a bound. The
//! invariants are checked after every step. `SABOT_SIM_SEEDS` asks for more seeds than are usual, and
//! `SABOT_SIM_SEED` for one of them, told step by step.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use crate::search::fingerprint;
use crate::steps::{Choice, apply, choices};
use crate::world::{AtOnce, Broken, Budget, Config, World, Writer};

const SEEDS: u64 = 10_000;
/// Steps in which a job without faults must come to its end. The longest of a million took 192.
const QUIET_STEPS_MAX: u32 = 2_000;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    fn byte(&mut self, below: u8) -> u8 {
        self.below(u64::from(below)) as u8
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// What a walk was like. Equal for equal seeds, to the last step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    /// A hash over every step and the state at the end.
    pub(crate) hash: u64,
    pub(crate) steps: u32,
    pub(crate) quiet_steps: u32,
    pub(crate) writers: usize,
    pub(crate) epochs: usize,
}

fn start(random: &mut Random, broken: Option<Broken>) -> World {
    let tasks = 1 + random.below(4);
    let rows: Vec<u8> = (0..tasks).map(|_| random.byte(17)).collect();
    let mut config = Config::new(&rows, 1 + random.below(2) as u32);
    let millis = |random: &mut Random, below| Duration::from_millis(random.below(below));
    let checkpoints = &mut config.checkpoints;
    checkpoints.interval = random.one_in(2).then(|| millis(random, 300));
    checkpoints.min_pause = millis(random, 50);
    checkpoints.timeout = Duration::from_millis(50 + random.below(1_000));
    checkpoints.keep = random.below(5) as u32;
    checkpoints.failures_tolerated = random.below(4) as u32;
    checkpoints.attempts.max = 1 + random.below(5) as u32;
    checkpoints.attempts.first = millis(random, 20);
    checkpoints.attempts.longest = millis(random, 100);
    config.broken = broken;
    let mut flip = || random.one_in(2);
    config.at_once = AtOnce { reads: flip(), newest: flip(), deletes: flip(), commits: flip(), puts: flip() };
    let budget = Budget {
        writers: random.byte(4),
        restarts: 200,
        epochs: random.byte(10),
        lost: random.byte(8),
        full: random.byte(5),
        timeouts: random.byte(2),
        // After two of them in a row before anything was committed, recovery rightly refuses.
        torn: random.byte(2),
        failing: random.byte(4),
        suspends: random.byte(3),
        crashes: random.byte(5),
    };
    World::new(&Arc::new(config), budget)
}

/// When something is due next, for any writer.
fn next_deadline(world: &World) -> Option<Duration> {
    let of = |writer: &Arc<Writer>| match &**writer {
        Writer::Recovering { machine, .. } => machine.deadline(),
        Writer::Running { machine, .. } => machine.deadline(),
        Writer::Gone(_) => None,
    };
    world.writers.iter().filter_map(of).min()
}

/// Which writer a choice belongs to.
fn writer_of(choice: Choice) -> Option<usize> {
    use Choice as C;
    match choice {
        C::Do { writer, .. } | C::Lose { writer, .. } | C::Refuse { writer, .. } | C::Tear { writer, .. } => {
            Some(writer)
        }
        C::Pass { writer, .. } | C::Fail { writer, .. } | C::End { writer, .. } | C::Trigger { writer } => {
            Some(writer)
        }
        C::Suspend { writer } | C::Tick { writer } | C::TimeUp { writer } | C::Crash { writer } => {
            Some(writer)
        }
        C::Drift { .. } | C::Start => None,
    }
}

/// The call that a choice is about.
fn call_of(world: &World, choice: Choice) -> String {
    match choice {
        Choice::Do { writer, call } | Choice::Lose { writer, call } => match &*world.writers[writer] {
            Writer::Recovering { calls, .. } | Writer::Running { calls, .. } => format!("{:?}", calls[call]),
            Writer::Gone(_) => String::new(),
        },
        Choice::Drift { call } => format!("{:?}", world.adrift[call]),
        _ => String::new(),
    }
}

/// Walks as a seed says; an error is a rule that was broken.
pub(crate) fn simulate(seed: u64, broken: Option<Broken>, told: bool) -> Result<Trace, String> {
    let mut random = Random(seed);
    let mut world = start(&mut random, broken);
    let chaos = 20 + random.below(200) as u32;
    let (mut steps, mut quiet_steps, mut paused) = (0u32, 0u32, None);
    let (mut open, mut hash) = (Vec::new(), DefaultHasher::new());
    while !world.is_finished() {
        let quiet = steps >= chaos;
        if quiet {
            quiet_steps += 1;
            paused = None;
            if quiet_steps > QUIET_STEPS_MAX {
                return Err(format!("I9: no end after {quiet_steps} steps without a fault: {world:#?}"));
            }
        } else if random.one_in(20) {
            paused = match paused {
                None => Some(random.below(world.writers.len() as u64) as usize),
                Some(_) => None,
            };
        }
        choices(&world, &mut open);
        // Faults and ends are as likely as they should be rare.
        open.retain(|choice| match choice {
            _ if paused.is_some() && writer_of(*choice) == paused => false,
            choice if choice.is_fault() => !quiet && random.one_in(10),
            Choice::Start => quiet || random.one_in(10),
            Choice::Suspend { .. } => !quiet && random.one_in(10),
            Choice::End { .. } => random.one_in(if quiet { 4 } else { 15 }),
            _ => true,
        });
        let wait = open.is_empty() || random.one_in(6);
        if wait {
            advance(&mut world, &mut random, quiet);
        }
        if open.is_empty() {
            steps += 1;
            continue;
        }
        let choice = open[random.below(open.len() as u64) as usize];
        // Waiting has made other choices, and left these.
        if told {
            println!("{steps} {:?} {choice:?} {}", world.now.elapsed, call_of(&world, choice));
        }
        (choice, world.now).hash(&mut hash);
        steps += 1;
        apply(&mut world, choice)?;
    }
    for part in world.sinks.iter().map(|sink| fingerprint(&**sink)) {
        part.hash(&mut hash);
    }
    fingerprint(&*world.store).hash(&mut hash);
    let (writers, epochs) = (world.writers.len(), world.past.writers.len());
    Ok(Trace { hash: hash.finish(), steps, quiet_steps, writers, epochs })
}

/// Lets time pass: a little, up to the next deadline, or by a jump of the clock, backwards too.
fn advance(world: &mut World, random: &mut Random, quiet: bool) {
    let now = &mut world.now;
    now.unix_ms = now.unix_ms.wrapping_add(random.below(1_000));
    let jump = !quiet && random.one_in(30);
    let little = Duration::from_millis(random.below(100));
    let elapsed = match (jump, random.one_in(2)) {
        (true, true) => now.elapsed.saturating_sub(little),
        (true, false) => now.elapsed + Duration::from_secs(3_600),
        (false, true) => now.elapsed + little,
        (false, false) => next_deadline(world).map_or(world.now.elapsed, |due| due.max(world.now.elapsed)),
    };
    world.now.elapsed = elapsed;
}

fn seeds() -> u64 {
    std::env::var("SABOT_SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS)
}

#[test]
fn no_walk_breaks_a_rule() {
    if let Some(seed) = std::env::var("SABOT_SIM_SEED").ok().and_then(|text| text.parse().ok()) {
        println!("{:?}", simulate(seed, None, true));
        return;
    }
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let walk = |first: u64| {
        let traces = (first..seeds()).step_by(threads as usize).map(|seed| {
            simulate(seed, None, false).unwrap_or_else(|rule| panic!("SABOT_SIM_SEED={seed}: {rule}"))
        });
        let one =
            |t: Trace| [1, u64::from(t.steps), t.writers as u64, t.epochs as u64, u64::from(t.quiet_steps)];
        let sum =
            |a: [u64; 5], b: [u64; 5]| [a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3], a[4].max(b[4])];
        traces.map(one).fold([0; 5], sum)
    };
    let started = std::time::Instant::now();
    let sums = std::thread::scope(|scope| {
        let walks: Vec<_> = (0..threads).map(|first| scope.spawn(move || walk(first))).collect();
        walks.into_iter().map(|walk| walk.join().expect("the seed is told above")).collect::<Vec<_>>()
    });
    let sum = |at: usize| sums.iter().map(|sums| sums[at]).sum::<u64>();
    let longest = sums.iter().map(|sums| sums[4]).max().unwrap_or(0);
    println!(
        "{} seeds, {} steps, {} writers, {} epochs, at most {longest} steps to the end, {:?}",
        sum(0),
        sum(1),
        sum(2),
        sum(3),
        started.elapsed()
    );
    assert_eq!(sum(0), seeds());
}

#[test]
fn a_seed_is_the_same_walk_each_time() {
    for seed in 0..200 {
        assert_eq!(simulate(seed, None, false), simulate(seed, None, false), "seed {seed}");
    }
    let hashes: std::collections::HashSet<u64> =
        (0..200).map(|seed| simulate(seed, None, false).unwrap().hash).collect();
    assert_eq!(hashes.len(), 200);
}

/// The walks find what the search finds.
#[test]
fn walks_find_broken_protocols() {
    let broken = [
        Broken::CommitBeforeManifest,
        Broken::DeleteReferenced,
        Broken::NoFencing,
        Broken::NoNewestCheck,
        Broken::CleanBeforeFence,
        Broken::CleanEverybody,
        Broken::AbortOnGiveUp,
        Broken::LeaveGaps,
        Broken::ForgetCommits,
        Broken::SnapshotEarly,
    ];
    for broken in broken {
        let found = (0..2_000).find_map(|seed| Some((seed, simulate(seed, Some(broken), false).err()?)));
        let (seed, rule) = found.unwrap_or_else(|| panic!("{broken:?} was not noticed in 2000 walks"));
        println!("{broken:?}, seed {seed}: {}", rule.lines().next().unwrap_or_default());
    }
}
