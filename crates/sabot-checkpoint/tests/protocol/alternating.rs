//! Every state of a broker, and of writers that send to it with two transactional producers each.
//!
//! The broker is one whose transactions do not raise the producer's epoch: a commit that comes late hits whatever
//! transaction of that producer is open then. Requests to commit are adrift until they arrive, at any time; an
//! answer may be lost. A second writer starts at any time, and the first goes on.

use sabot_checkpoint::{Alternating, Slot, TransactionAction as Action, TransactionEvent as Event};
use sabot_common::Epoch;
use std::collections::{HashMap, VecDeque};

/// How the protocol is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    /// A commit that is not known to have failed is taken for done.
    AssumeCommitted,
    /// A commit that is not known to have succeeded is taken for failed, without initialising a producer.
    AssumeAborted,
    /// Records are read before the producers are initialised.
    ReadFirst,
    /// A take-over initialises one producer only.
    FenceOne,
}

/// A transaction: the rows that its epoch has sent, and whether that is all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Transaction {
    epoch: u64,
    from: u8,
    to: u8,
    flushed: bool,
}

/// The broker's side of a transactional id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Id {
    /// Rises with every initialisation; older producers are fenced.
    producer: u8,
    open: Option<Transaction>,
}

/// A call of a writer that is not done yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Call {
    Initialise(Slot),
    Read,
    Flush(Epoch),
    Commit(Epoch),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Writer {
    machine: Alternating,
    /// Its producers, by slot: their number at the broker.
    producers: [u8; 2],
    calls: Vec<Call>,
    /// Rows that it has sent in all, and those before the open transaction.
    sent: u8,
    began: u8,
    epoch: u64,
    sealed: bool,
    stopped: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct World {
    ids: [Id; 2],
    /// Committed transactions, in order.
    log: Vec<Transaction>,
    writers: Vec<Writer>,
    /// Commit requests that nobody waits for: slot and producer.
    adrift: Vec<(usize, u8)>,
    lost_left: u8,
    starts_left: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// A call arrives and is answered.
    Do(usize, usize),
    /// A commit is answered by a time-out, and arrives later or never.
    Lose(usize, usize),
    Arrive(usize),
    /// A writer sends a row.
    Send(usize),
    Seal(usize),
    Start,
}

fn slot(epoch: Epoch) -> usize {
    usize::from(Slot::of(epoch) == Slot::Odd)
}

/// Rows of all writers together; each row has its number, and every writer sends them in order.
const ROWS: u8 = 3;

impl World {
    fn choices(&self) -> Vec<Choice> {
        let mut out = Vec::new();
        for (index, writer) in self.writers.iter().enumerate().filter(|(_, writer)| !writer.stopped) {
            for (call, what) in writer.calls.iter().enumerate() {
                out.push(Choice::Do(index, call));
                if matches!(what, Call::Commit(_)) && self.lost_left > 0 {
                    out.push(Choice::Lose(index, call));
                }
            }
            if writer.epoch > 0 && !writer.sealed {
                if writer.sent < ROWS {
                    out.push(Choice::Send(index));
                }
                if writer.sent > writer.began {
                    out.push(Choice::Seal(index));
                }
            }
        }
        out.extend((0..self.adrift.len()).map(Choice::Arrive));
        // Two writers that start at the same time may fence each other; then somebody starts one again.
        if self.starts_left > 0 || self.writers.iter().all(|writer| writer.stopped) {
            out.push(Choice::Start);
        }
        out
    }

    /// A request to commit arrives: whatever is open is committed.
    fn commit(&mut self, slot: usize, producer: u8) -> Result<bool, String> {
        if self.ids[slot].producer != producer {
            return Ok(false);
        }
        if let Some(open) = self.ids[slot].open.take() {
            let end = self.log.last().map_or(0, |last| last.to);
            if !open.flushed {
                return Err(format!("I2: a part of epoch {} is committed: {open:?}", open.epoch));
            }
            if open.from != end {
                return Err(format!("I1: after row {end} come those from {} to {}", open.from, open.to));
            }
            if self.log.last().map_or(0, |last| last.epoch) + 1 != open.epoch {
                return Err(format!("I4: epoch {} follows {:?}", open.epoch, self.log.last()));
            }
            self.log.push(open);
        }
        Ok(true)
    }

    fn tell(&mut self, writer: usize, event: Event, broken: Option<Broken>) -> Result<(), String> {
        let actions = self.writers[writer].machine.step(event);
        for action in actions {
            let this = &mut self.writers[writer];
            match action {
                Action::Initialise(slot) => {
                    // The transaction that was open is nobody's any more.
                    (this.epoch, this.sealed) = (0, false);
                    let skipped =
                        broken == Some(Broken::FenceOne) && slot == Slot::Odd && this.producers[1] == 0;
                    match skipped {
                        true => {
                            this.producers[1] = self.ids[1].producer;
                            self.tell(writer, Event::Initialised(slot), broken)?;
                        }
                        false => this.calls.push(Call::Initialise(slot)),
                    }
                }
                Action::Read if broken == Some(Broken::ReadFirst) => {
                    let read = this.began;
                    self.tell(writer, Event::Read(Epoch(u64::from(read))), broken)?;
                }
                Action::Read => this.calls.push(Call::Read),
                Action::GoOnFrom(epoch) => {
                    let last = self.log.iter().find(|t| t.epoch == epoch.0);
                    let to = last.map_or(0, |last| last.to);
                    (this.sent, this.began) = (to, to);
                }
                Action::Begin(epoch) => {
                    (this.epoch, this.began, this.sealed) = (epoch.0, this.sent, false);
                    let at = slot(epoch);
                    if self.ids[at].producer != this.producers[at] {
                        return self.tell(writer, Event::Fenced, broken);
                    }
                    let (from, to) = (this.sent, this.sent);
                    self.ids[at].open = Some(Transaction { epoch: epoch.0, from, to, flushed: false });
                }
                Action::Flush(epoch) => this.calls.push(Call::Flush(epoch)),
                Action::Commit(epoch) => this.calls.push(Call::Commit(epoch)),
                Action::Stop => *this = Writer { stopped: true, ..Writer::default() },
            }
        }
        Ok(())
    }

    fn apply(&mut self, choice: Choice, broken: Option<Broken>) -> Result<(), String> {
        match choice {
            Choice::Start => {
                self.starts_left = self.starts_left.saturating_sub(1);
                // What a reader in a hurry would see: as many epochs as there are records now.
                let began = self.log.len() as u8;
                self.writers.push(Writer { began, ..Writer::default() });
                self.tell(self.writers.len() - 1, Event::Start, broken)
            }
            Choice::Send(index) => {
                let writer = &mut self.writers[index];
                let at = slot(Epoch(writer.epoch));
                writer.sent += 1;
                if self.ids[at].producer != writer.producers[at] {
                    return self.tell(index, Event::Fenced, broken);
                }
                // With a transaction that a late commit has ended, the next send begins another one.
                let (from, epoch) = (writer.began, writer.epoch);
                let open =
                    self.ids[at].open.get_or_insert(Transaction { epoch, from, to: from, flushed: false });
                open.to += 1;
                Ok(())
            }
            Choice::Seal(index) => {
                self.writers[index].sealed = true;
                self.tell(index, Event::Sealed, broken)
            }
            Choice::Arrive(index) => {
                let (slot, producer) = self.adrift.remove(index);
                self.commit(slot, producer).map(drop)
            }
            Choice::Lose(index, call) => {
                self.lost_left -= 1;
                let Call::Commit(epoch) = self.writers[index].calls.remove(call) else { return Ok(()) };
                let at = slot(epoch);
                self.adrift.push((at, self.writers[index].producers[at]));
                match broken {
                    Some(Broken::AssumeCommitted) => self.tell(index, Event::Committed(epoch), broken),
                    Some(Broken::AssumeAborted) => {
                        // It begins again from what it believes to be committed, with the producers it has.
                        let writer = &mut self.writers[index];
                        let committed = writer.machine.committed();
                        writer.machine = Alternating::new();
                        writer.calls.clear();
                        writer.machine.step(Event::Start);
                        writer.machine.step(Event::Initialised(Slot::Even));
                        writer.machine.step(Event::Initialised(Slot::Odd));
                        self.tell(index, Event::Read(committed), broken)
                    }
                    _ => self.tell(index, Event::Unclear(epoch), broken),
                }
            }
            Choice::Do(index, call) => {
                let what = self.writers[index].calls.remove(call);
                let producers = self.writers[index].producers;
                let event = match what {
                    Call::Initialise(slot) => {
                        let at = usize::from(slot == Slot::Odd);
                        let fenced = producers[at] != 0 && producers[at] != self.ids[at].producer;
                        if !fenced {
                            self.ids[at] = Id { producer: self.ids[at].producer + 1, open: None };
                            self.writers[index].producers[at] = self.ids[at].producer;
                        }
                        if fenced { Event::Fenced } else { Event::Initialised(slot) }
                    }
                    Call::Read => Event::Read(Epoch(self.log.last().map_or(0, |last| last.epoch))),
                    Call::Flush(epoch) => {
                        let at = slot(epoch);
                        let own = self.ids[at].producer == producers[at];
                        if let Some(open) = self.ids[at].open.as_mut().filter(|_| own) {
                            open.flushed = true;
                        }
                        if own { Event::Flushed(epoch) } else { Event::Fenced }
                    }
                    Call::Commit(epoch) => match self.commit(slot(epoch), producers[slot(epoch)])? {
                        true => Event::Committed(epoch),
                        false => Event::Fenced,
                    },
                };
                self.tell(index, event, broken)
            }
        }
    }

    /// I12: what a writer believes to be committed is.
    fn check(&self) -> Result<(), String> {
        let end = self.log.last().map_or(0, |last| last.epoch);
        match self.writers.iter().find(|writer| writer.machine.committed().0 > end) {
            Some(writer) => Err(format!(
                "I12: {} is believed to be committed: {:?}",
                writer.machine.committed(),
                self.log
            )),
            None => Ok(()),
        }
    }

    fn is_end(&self) -> bool {
        self.log.last().is_some_and(|last| last.to == ROWS)
    }
}

/// All states, nearest first; how many, and from how many of them the end cannot be reached.
fn search(lost: u8, writers: u8, broken: Option<Broken>) -> Result<(usize, usize), String> {
    let first = World { lost_left: lost, starts_left: writers, ..World::default() };
    let mut known: HashMap<World, usize> = HashMap::from([(first.clone(), 0)]);
    let (mut open, mut edges, mut ends) = (VecDeque::from([(first, Vec::new())]), Vec::new(), vec![false]);
    while let Some((world, history)) = open.pop_front() {
        let from = known[&world];
        for choice in world.choices() {
            let mut after = world.clone();
            let mut history: Vec<Choice> = history.clone();
            history.push(choice);
            after
                .apply(choice, broken)
                .and_then(|()| after.check())
                .map_err(|rule| format!("{rule} after {history:?}"))?;
            let fresh = known.len();
            let to = *known.entry(after.clone()).or_insert(fresh);
            edges.push((to, from));
            if to == fresh {
                assert!(fresh < 400_000, "make the world smaller");
                ends.push(after.is_end());
                open.push_back((after, history));
            }
        }
    }
    let mut reaches = ends.clone();
    edges.sort_unstable();
    let mut todo: Vec<usize> = (0..ends.len()).filter(|at| ends[*at]).collect();
    while let Some(to) = todo.pop() {
        let start = edges.partition_point(|(t, _)| *t < to);
        for &(_, from) in edges[start..].iter().take_while(|(t, _)| *t == to) {
            if !std::mem::replace(&mut reaches[from], true) {
                todo.push(from);
            }
        }
    }
    Ok((known.len(), reaches.iter().filter(|reaches| !**reaches).count()))
}

#[test]
fn producers_that_take_turns_commit_every_row_once() {
    for (name, lost, writers) in [("two losses", 2, 1), ("take-over", 0, 2), ("take-over and loss", 1, 2)] {
        let started = std::time::Instant::now();
        let (states, stuck) = search(lost, writers, None).unwrap_or_else(|rule| panic!("{name}: {rule}"));
        println!("{name}: {states} states, {stuck} stuck, {:?}", started.elapsed());
        assert_eq!(stuck, 0, "{name}");
    }
}

#[test]
fn producers_that_assume_are_noticed() {
    let rule = |broken, lost, writers| search(lost, writers, Some(broken)).unwrap_err();
    for (broken, lost, writers) in [
        (Broken::AssumeCommitted, 1, 1),
        (Broken::AssumeAborted, 1, 1),
        (Broken::ReadFirst, 0, 2),
        (Broken::FenceOne, 0, 2),
    ] {
        println!("{broken:?}: {}", rule(broken, lost, writers));
    }
}
