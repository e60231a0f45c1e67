//! Who is a fraud: which terminals are compromised, which cards are leaked, and for how long.

use std::collections::BTreeMap;

use super::random::{Choice, Purpose, Streams};

/// A transaction of more than this is a fraud by itself: the first scenario.
pub const AMOUNT_CENTS_MAX: i64 = 22_000;
/// For how many days a terminal is compromised: the second scenario.
pub const COMPROMISED_DAYS: u32 = 28;
/// For how many days a leaked card is misused: the third scenario.
pub const LEAKED_DAYS: u32 = 14;
/// By what the amounts of a leaked card are multiplied, where it is misused.
pub const LEAKED_FACTOR: i64 = 5;
/// One in so many transactions of leaked cards is a fraud.
const LEAKED_ONE_IN: u64 = 3;

/// So many terminals of so many are compromised each day.
const COMPROMISED: (u64, u64) = (2, 10_000);
/// So many cards of so many are leaked each day.
const LEAKED: (u64, u64) = (3, 5_000);

/// How many are drawn on a day. Fractions add up: 1,000 cards are 3 leaks in five days.
fn drawn(day: u32, (count, of): (u64, u64), all: u32) -> u32 {
    let until = |day: u64| day * count * u64::from(all) / of;
    (until(u64::from(day) + 1) - until(u64::from(day))) as u32
}

/// The terminals that are compromised from a day on.
pub(crate) fn compromised(day: u32, terminals: u32, streams: &Streams) -> Vec<u32> {
    let count = drawn(day, COMPROMISED, terminals);
    streams.get(Purpose::Compromised, u64::from(day)).distinct(count, terminals)
}

/// A transaction: the card, and which of its transactions of the day.
pub(crate) type Named = (u32, u32);

/// The transactions of leaked cards that are frauds, by day and in order. One stands there twice where the card
/// was leaked twice and both hit it.
///
/// `count` says how many transactions a card makes on a day.
pub(crate) fn leaked(
    days: u32,
    cards: u32,
    streams: &Streams,
    count: impl Fn(u32, u32) -> u32,
) -> BTreeMap<u32, Vec<Named>> {
    let mut found: BTreeMap<u32, Vec<Named>> = BTreeMap::new();
    for day in 0..days {
        let mut random = streams.get(Purpose::Leaked, u64::from(day));
        let of_day = random.distinct(drawn(day, LEAKED, cards), cards);
        let misused = day..days.min(day.saturating_add(LEAKED_DAYS));
        let pairs = || of_day.iter().flat_map(|card| misused.clone().map(|day| (*card, day)));
        // A third of what all cards that were leaked on one day pay, as one lot.
        let all: u64 = pairs().map(|(card, day)| u64::from(count(card, day))).sum();
        let mut choice = Choice::new(random, all / LEAKED_ONE_IN, all);
        for (card, day) in pairs() {
            let frauds = (0..count(card, day)).filter(|_| choice.next()).map(|n| (card, n));
            found.entry(day).or_default().extend(frauds);
        }
    }
    found.values_mut().for_each(|frauds| frauds.sort_unstable());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_hold_for_any_number() {
        let sum = |share, all, days| (0..days).map(|day| drawn(day, share, all)).sum::<u32>();
        assert_eq!(drawn(17, COMPROMISED, 10_000), 2);
        assert_eq!(drawn(17, LEAKED, 5_000), 3);
        assert_eq!(drawn(17, LEAKED, 50_000), 30);
        assert_eq!(sum(LEAKED, 1_000, 5), 3);
        assert_eq!(sum(COMPROMISED, 100, 100), 2);
        assert_eq!(sum(COMPROMISED, 1, 183), 0);
    }

    #[test]
    fn a_third_of_a_leaked_card_lies_within_fourteen_days() {
        let streams = Streams::new(2);
        let all = leaked(60, 5_000, &streams, |_, _| 2);
        let mut seen = 0;
        for (day, frauds) in &all {
            for (card, n) in frauds {
                assert!(*n < 2);
                let leaked_by = (day.saturating_sub(LEAKED_DAYS - 1)..=*day).any(|from| {
                    streams.get(Purpose::Leaked, u64::from(from)).distinct(3, 5_000).contains(card)
                });
                assert!(leaked_by, "card {card} on day {day}");
                seen += 1;
            }
        }
        // 3 cards × 14 days × 2 transactions a day, a third of them, but for the last days.
        let full = 28 * 60 - 28 * (1..14).sum::<usize>() / 14;
        assert_eq!(seen, full);
    }
}
