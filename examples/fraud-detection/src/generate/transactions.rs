//! The rows, day by day.

use sabot::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int8Array, Int64Array, RecordBatch, TimestampMicrosecondArray,
};
use sabot::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use sabot::arrow::error::ArrowError;
use sabot::arrow::record_batch::RecordBatchReader;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::frauds::{AMOUNT_CENTS_MAX, COMPROMISED_DAYS, LEAKED_FACTOR, Named, compromised, leaked};
use super::plane::{Place, Terminals};
use super::random::{Choice, Poisson, Purpose, Random, Streams};
use super::{GenerateError, START_MICROS, Settings};

const DAY_SECONDS: f64 = 86_400.0;
/// How far times of day lie from noon.
const TIME_DEVIATION_SECONDS: f64 = 20_000.0;
/// Rates are drawn with this much more than twice the mean that is needed.
const RATE_FACTOR: f64 = 2.05;

/// The columns of a transaction.
///
/// ```
/// let schema = fraud_detection::generate::schema();
/// assert_eq!(schema.field(4).name(), "amount_cents");
/// ```
pub fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let column = |name: &str, data_type| Field::new(name, data_type, false);
    Arc::new(Schema::new(vec![
        column("transaction_id", DataType::Int64),
        column("event_time", time),
        column("card_id", DataType::Int64),
        column("terminal_id", DataType::Int64),
        column("amount_cents", DataType::Int64),
        column("terminal_x", DataType::Float64),
        column("terminal_y", DataType::Float64),
        column("is_fraud", DataType::Boolean),
        column("fraud_scenario", DataType::Int8),
    ]))
}

/// Who pays with a card.
struct Card {
    home: Place,
    mean_amount: f64,
}

/// All transactions in order of time, a batch for each day on which there are some.
///
/// A day's rows are ordered by second, those of one second by card and draw; numbers follow that order.
pub struct Transactions {
    settings: Settings,
    schema: SchemaRef,
    streams: Streams,
    terminals: Terminals,
    cards: Vec<Card>,
    /// Transactions of each card on each day.
    counts: Vec<u32>,
    leaked: BTreeMap<u32, Vec<Named>>,
    /// The day from which each terminal is sound again.
    sound_from: Vec<u32>,
    day: u32,
    made: i64,
    rows: Rows,
}

impl std::fmt::Debug for Transactions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transactions").field("settings", &self.settings).field("day", &self.day).finish()
    }
}

impl Transactions {
    /// Draws cards, terminals and how many transactions there are on each day.
    ///
    /// # Errors
    /// [`GenerateError`] when there is nobody to pay, or too much to keep.
    pub fn new(settings: &Settings) -> Result<Self, GenerateError> {
        settings.check()?;
        let settings = match settings.transactions {
            0 => Settings { cards: 0, terminals: 0, days: 0, ..*settings },
            _ => *settings,
        };
        let streams = Streams::new(settings.seed);
        let terminals = Terminals::new(settings.terminals, &streams);
        let card_days = f64::from(settings.cards) * f64::from(settings.days);
        let rate_max = RATE_FACTOR * settings.transactions as f64 / card_days;
        let mut rates = Vec::with_capacity(settings.cards as usize);
        let mut cards = Vec::with_capacity(settings.cards as usize);
        for card in 0..settings.cards {
            let mut random = streams.get(Purpose::Card, u64::from(card));
            let mut home = Place::anywhere(&mut random);
            while !terminals.any_in_reach(home) {
                home = Place::anywhere(&mut random);
            }
            cards.push(Card { home, mean_amount: random.uniform(5.0, 100.0) });
            rates.push(Poisson::new(random.uniform(0.0, rate_max)));
        }
        let counts = counts(&settings, &streams, &rates);
        let days = settings.days as usize;
        let count = |card: u32, day: u32| counts[card as usize * days + day as usize];
        let leaked = leaked(settings.days, settings.cards, &streams, count);
        Ok(Self {
            settings,
            schema: schema(),
            streams,
            cards,
            counts,
            leaked,
            sound_from: vec![0; settings.terminals as usize],
            terminals,
            day: 0,
            made: 0,
            rows: Rows::default(),
        })
    }

    /// Makes the rows of a day.
    fn make(&mut self, day: u32) {
        self.rows.clear();
        for terminal in compromised(day, self.settings.terminals, &self.streams) {
            self.sound_from[terminal as usize] = day.saturating_add(COMPROMISED_DAYS);
        }
        let mut leaked = self.leaked.remove(&day).unwrap_or_default().into_iter().peekable();
        let days = self.settings.days;
        for (number, card) in (0..).zip(&self.cards) {
            let of_day = u64::from(number) * u64::from(days) + u64::from(day);
            let count = self.counts[of_day as usize];
            if count == 0 {
                continue;
            }
            let mut random = self.streams.get(Purpose::Transactions, of_day);
            for n in 0..count {
                let (second, mut cents) = payment(card, &mut random);
                let terminal = self.terminals.choose(card.home, &mut random);
                let mut scenario = i8::from(cents > AMOUNT_CENTS_MAX);
                if day < self.sound_from[terminal as usize] {
                    scenario = 2;
                }
                // As often as the transaction was hit.
                while leaked.next_if_eq(&(number, n)).is_some() {
                    cents = cents.saturating_mul(LEAKED_FACTOR);
                    scenario = 3;
                }
                self.rows.push(second, Row { card: number, terminal, cents, scenario });
            }
        }
        self.rows.sort();
    }

    fn batch(&mut self, day: u32) -> Result<RecordBatch, ArrowError> {
        let rows = &self.rows;
        let midnight = START_MICROS + i64::from(day) * 86_400_000_000;
        let ids = Int64Array::from_iter_values((self.made..).take(rows.order.len()));
        let times = rows.order.iter().map(|key| midnight + Rows::second(*key) * 1_000_000);
        let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
        let integers = |of: fn(&Row) -> i64| Int64Array::from_iter_values(rows.in_order().map(of));
        let places = |of: fn(Place) -> f64| {
            Float64Array::from_iter_values(rows.in_order().map(|row| of(self.terminals.place(row.terminal))))
        };
        let frauds: BooleanArray = rows.in_order().map(|row| Some(row.scenario > 0)).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(ids),
            Arc::new(times),
            Arc::new(integers(|row| i64::from(row.card))),
            Arc::new(integers(|row| i64::from(row.terminal))),
            Arc::new(integers(|row| row.cents)),
            Arc::new(places(|place| place.x)),
            Arc::new(places(|place| place.y)),
            Arc::new(frauds),
            Arc::new(Int8Array::from_iter_values(rows.in_order().map(|row| row.scenario))),
        ];
        self.made += rows.order.len() as i64;
        RecordBatch::try_new(self.schema.clone(), columns)
    }
}

/// Second of the day and cents of a payment.
fn payment(card: &Card, random: &mut Random) -> (u32, i64) {
    let (second, deviation) = loop {
        // The second number of a pair knows nothing of the first, so one that is taken is as random as all.
        let (time, deviation) = random.normals();
        let second = (DAY_SECONDS / 2.0 + TIME_DEVIATION_SECONDS * time).trunc();
        if second > 0.0 && second < DAY_SECONDS {
            break (second as u32, deviation);
        }
    };
    let mut amount = card.mean_amount + deviation * card.mean_amount / 2.0;
    if amount < 0.0 {
        amount = random.uniform(0.0, card.mean_amount * 2.0);
    }
    (second, (amount * 100.0).round_ties_even() as i64)
}

/// How many transactions each card makes on each day: exactly as many as were asked for in all.
fn counts(settings: &Settings, streams: &Streams, rates: &[Poisson]) -> Vec<u32> {
    let days = settings.days as usize;
    let mut counts = vec![0u32; rates.len() * days];
    let mut all = 0u64;
    // Mostly one round; more where few cards happen to have low rates.
    for round in 0u64.. {
        if all >= settings.transactions {
            break;
        }
        for ((card, rate), of_card) in (0u64..).zip(rates).zip(counts.chunks_mut(days)) {
            let mut random = streams.get(Purpose::Counts, (round << 32) | card);
            for count in of_card {
                let more = rate.draw(&mut random);
                *count += more;
                all += u64::from(more);
            }
        }
    }
    // Transactions of a card and day are alike before they are drawn, so to drop one is to draw one less.
    let mut stays = Choice::new(streams.get(Purpose::Surplus, 0), settings.transactions, all);
    for count in &mut counts {
        *count = (0..*count).map(|_| u32::from(stays.next())).sum();
    }
    counts
}

#[derive(Clone, Copy)]
struct Row {
    card: u32,
    terminal: u32,
    cents: i64,
    scenario: i8,
}

/// A day's rows, and their order: the second in the upper half, the number in `all` in the lower one.
#[derive(Default)]
struct Rows {
    all: Vec<Row>,
    order: Vec<u64>,
}

impl Rows {
    fn clear(&mut self) {
        self.all.clear();
        self.order.clear();
    }

    fn push(&mut self, second: u32, row: Row) {
        self.order.push((u64::from(second) << 32) | self.all.len() as u64);
        self.all.push(row);
    }

    fn sort(&mut self) {
        self.order.sort_unstable();
    }

    fn second(key: u64) -> i64 {
        (key >> 32) as i64
    }

    fn in_order(&self) -> impl Iterator<Item = &Row> {
        self.order.iter().map(|key| &self.all[(*key & u64::from(u32::MAX)) as usize])
    }
}

impl Iterator for Transactions {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.day < self.settings.days {
            let day = self.day;
            self.day += 1;
            self.make(day);
            if !self.rows.order.is_empty() {
                return Some(self.batch(day));
            }
        }
        None
    }
}

impl RecordBatchReader for Transactions {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}
