//! Card transactions with known frauds, made from a seed.
//!
//! The model is that of the Fraud Detection Handbook (Le Borgne, Siblini, Lebichot, Bontempi: "Reproducible
//! Machine Learning for Credit Card Fraud Detection", chapter 3): cards and terminals on a plane of 100 × 100 km, a
//! card pays at terminals near it, a Poisson number of times a day, amounts around its own mean, times around
//! noon. Then frauds are planted, by three scenarios:
//!
//! 1. every transaction over 220.00 is one;
//! 2. each day 2 terminals of 10,000 are compromised, and all they take in 28 days is fraudulent;
//! 3. each day 3 cards of 5,000 are leaked, and of what they pay in 14 days a third is, with five times the amount.
//!
//! They overlap, and the later number stands. What is different from the handbook, on purpose:
//!
//! - There are exactly as many rows as asked for. Daily rates are drawn with a mean that gives 2.5 % more, and the
//!   surplus is dropped at random over the whole period. Where too few came, every card gets as many days' worth
//!   again first.
//! - A time outside of the day is drawn again; there it is dropped, and so are 3 % of the transactions.
//! - A card out of reach of all terminals is placed again; there it never pays.
//! - Amounts are whole cents, rounded half to even after each multiplication.
//! - Shares of terminals and cards hold for any number of them; there it is 2 and 3 a day.
//! - Random numbers are this module's own, so no row is the same.
//!
//! Rows are made day by day. What is kept in memory is four bytes for each card and day, the places of terminals,
//! and one day's rows.

mod frauds;
mod plane;
mod random;
mod transactions;

pub use frauds::{AMOUNT_CENTS_MAX, COMPROMISED_DAYS, LEAKED_DAYS, LEAKED_FACTOR};
pub use plane::{REACH_KM, SIDE_KM};
pub use transactions::{Transactions, schema};

/// Midnight before the first transaction, in µs: 2018-04-01T00:00:00Z, as in the handbook.
pub const START_MICROS: i64 = 1_522_540_800_000_000;
/// Days where nothing else is said.
pub const DAYS_DEFAULT: u32 = 183;
/// Terminals where nothing else is said, unless that were more than two per card.
const TERMINALS_DEFAULT: u32 = 10_000;
/// Days for all cards together: each takes four bytes, so this is 4 GiB.
const CARD_DAYS_MAX: u64 = 1 << 30;

/// What to generate.
///
/// ```
/// use fraud_detection::generate::{Settings, Transactions};
/// let settings = Settings::new(1_000);
/// assert_eq!((settings.days, settings.cards, settings.terminals, settings.seed), (183, 2, 4, 1));
/// let rows: usize = Transactions::new(&settings)?.map(|batch| batch.map_or(0, |b| b.num_rows())).sum();
/// assert_eq!(rows, 1_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Rows.
    pub transactions: u64,
    /// Cards that pay.
    pub cards: u32,
    /// Terminals at which they pay.
    pub terminals: u32,
    /// Days over which rows are spread.
    pub days: u32,
    /// What all random numbers come from.
    pub seed: u64,
}

impl Settings {
    /// So many rows, and defaults for the rest: 183 days, a card for each two transactions a day, 10,000 terminals
    /// or two per card if that is fewer, seed 1.
    pub fn new(transactions: u64) -> Self {
        Self::with(transactions, None, None, None)
    }

    /// As [`Settings::new`], where some of it is known.
    pub fn with(transactions: u64, cards: Option<u32>, terminals: Option<u32>, days: Option<u32>) -> Self {
        let days = days.unwrap_or(DAYS_DEFAULT);
        let two_a_day = transactions / (2 * u64::from(days.max(1)));
        let cards = cards.unwrap_or(u32::try_from(two_a_day).unwrap_or(u32::MAX).max(1));
        let terminals = terminals.unwrap_or(TERMINALS_DEFAULT.min(cards.saturating_mul(2)));
        Self { transactions, cards, terminals, days, seed: 1 }
    }

    /// The same from another seed.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    fn check(&self) -> Result<(), GenerateError> {
        for (what, number) in [("cards", self.cards), ("terminals", self.terminals), ("days", self.days)] {
            if number == 0 && self.transactions > 0 {
                return Err(GenerateError::None { what });
            }
        }
        let card_days = u64::from(self.cards) * u64::from(self.days);
        match card_days > CARD_DAYS_MAX {
            true => Err(GenerateError::TooMany { cards: self.cards, days: self.days }),
            false => Ok(()),
        }
    }
}

/// Why nothing can be generated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// Transactions need at least one of these.
    #[error("transactions need at least one of each: there are no {what}")]
    None {
        /// Cards, terminals or days.
        what: &'static str,
    },
    /// Counts of all cards and days would not fit into memory.
    #[error("{cards} cards over {days} days are more than {CARD_DAYS_MAX} days in all; take fewer of one")]
    TooMany {
        /// The cards that were asked for.
        cards: u32,
        /// The days that were asked for.
        days: u32,
    },
}
