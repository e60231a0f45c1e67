//! What is generated: exactly as many rows, in order, the same for a seed, and distributed as the model says.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use fraud_detection::generate::{
    AMOUNT_CENTS_MAX, COMPROMISED_DAYS, GenerateError, LEAKED_DAYS, SIDE_KM, START_MICROS, Settings,
    Transactions, schema,
};
use sabot::arrow::array::{AsArray, RecordBatch};
use sabot::arrow::compute::concat_batches;
use sabot::arrow::datatypes::{Float64Type, Int8Type, Int64Type, TimestampMicrosecondType};
use std::collections::{BTreeMap, BTreeSet};

const DAY_MICROS: i64 = 86_400_000_000;

fn all(settings: &Settings) -> RecordBatch {
    let batches: Vec<RecordBatch> = Transactions::new(settings).unwrap().map(Result::unwrap).collect();
    concat_batches(&schema(), &batches).unwrap()
}

fn integers(rows: &RecordBatch, name: &str) -> Vec<i64> {
    rows.column_by_name(name).unwrap().as_primitive::<Int64Type>().values().to_vec()
}

fn times(rows: &RecordBatch) -> Vec<i64> {
    rows.column(1)
        .as_primitive::<TimestampMicrosecondType>()
        .values()
        .iter()
        .map(|t| t - START_MICROS)
        .collect()
}

fn floats(rows: &RecordBatch, name: &str) -> Vec<f64> {
    rows.column_by_name(name).unwrap().as_primitive::<Float64Type>().values().to_vec()
}

fn scenarios(rows: &RecordBatch) -> Vec<i8> {
    rows.column_by_name("fraud_scenario").unwrap().as_primitive::<Int8Type>().values().to_vec()
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let rows = values.len() as f64;
    values.sum::<f64>() / rows
}

#[test]
fn exactly_as_many_rows_in_order_for_any_settings() {
    for (transactions, cards, terminals, days) in [
        (1, None, None, None),
        (1_000, None, None, None),
        (12_345, Some(1), Some(1), None),
        (20_000, Some(300), Some(50), Some(7)),
        (5_000, Some(10_000), None, Some(2)),
        (40_000, None, None, Some(1)),
    ] {
        let settings = Settings::with(transactions, cards, terminals, days).seed(9);
        let rows = all(&settings);
        assert_eq!(rows.num_rows() as u64, transactions, "{settings:?}");
        assert_eq!(rows.schema(), schema());
        assert_eq!(integers(&rows, "transaction_id"), (0..transactions as i64).collect::<Vec<_>>());
        let times = times(&rows);
        assert!(times.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!(times.iter().all(|time| (0..i64::from(settings.days) * DAY_MICROS).contains(time)));
        let below = |name, end: u32| integers(&rows, name).iter().all(|id| (0..i64::from(end)).contains(id));
        assert!(below("card_id", settings.cards) && below("terminal_id", settings.terminals));
    }
    assert_eq!(Transactions::new(&Settings::new(0)).unwrap().count(), 0);
}

#[test]
fn a_seed_gives_the_same_rows_and_another_seed_others() {
    let settings = Settings::with(30_000, Some(400), None, Some(40));
    let first = all(&settings);
    assert_eq!(first, all(&settings));
    assert_ne!(first, all(&settings.seed(2)));
    // The sequence is part of what a seed means: it may not change unseen, on any platform.
    let digest = |values: Vec<i64>| {
        values
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, v| (hash ^ *v as u64).wrapping_mul(0x100_0000_01b3))
    };
    let names = ["card_id", "terminal_id", "amount_cents"];
    let found = names.map(|name| digest(integers(&first, name)));
    let times = digest(times(&first));
    assert_eq!((found, times), (PINNED.0, PINNED.1));
}

/// Digests of the columns of the test above.
const PINNED: ([u64; 3], u64) = (
    [4_894_572_448_616_065_276, 12_579_316_609_118_508_741, 7_915_835_330_052_279_904],
    8_907_851_049_463_848_037,
);

#[test]
fn nobody_cannot_pay() {
    let refused = |cards, terminals, days| {
        Transactions::new(&Settings { transactions: 1, cards, terminals, days, seed: 1 }).unwrap_err()
    };
    assert_eq!(refused(0, 1, 1), GenerateError::None { what: "cards" });
    assert_eq!(refused(1, 0, 1), GenerateError::None { what: "terminals" });
    assert_eq!(refused(1, 1, 0), GenerateError::None { what: "days" });
    assert!(refused(u32::MAX, 1, 100).to_string().starts_with("4294967295 cards over 100 days are more"));
}

#[test]
fn distributions_are_those_of_the_model() {
    let settings = Settings::with(400_000, Some(2_000), Some(10_000), Some(100)).seed(3);
    let rows = all(&settings);
    let (times, cards) = (times(&rows), integers(&rows, "card_id"));

    // Times of day around noon, cut off at midnight: the deviation is a little less than 20,000 seconds.
    let seconds: Vec<f64> = times.iter().map(|time| (time % DAY_MICROS) as f64 / 1e6).collect();
    let noon = mean(seconds.iter().copied());
    let deviation = mean(seconds.iter().map(|second| (second - noon).powi(2))).sqrt();
    assert!((noon - 43_200.0).abs() < 150.0, "{noon}");
    assert!((18_000.0..19_500.0).contains(&deviation), "{deviation}");

    // Every day is like the other: the surplus is dropped everywhere.
    let mut of_day = vec![0f64; 100];
    times.iter().for_each(|time| of_day[(time / DAY_MICROS) as usize] += 1.0);
    assert!(of_day.iter().all(|count| (count / 4_000.0 - 1.0).abs() < 0.08), "{of_day:?}");
    let half = |days: &[f64]| days.iter().sum::<f64>();
    assert!((half(&of_day[..50]) / half(&of_day[50..]) - 1.0).abs() < 0.01);

    // Rates of cards are uniform from 0 to about 4 a day.
    let mut of_card = vec![0f64; 2_000];
    cards.iter().for_each(|card| of_card[*card as usize] += 1.0 / 100.0);
    let share = |low: f64, high: f64| {
        of_card.iter().filter(|rate| (low..high).contains(*rate)).count() as f64 / 2_000.0
    };
    for (low, high) in [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0), (3.0, 4.0)] {
        assert!((share(low, high) - 0.25).abs() < 0.04, "{low} to {high}: {}", share(low, high));
    }
    assert!(of_card.iter().all(|rate| *rate < 5.0));

    // Amounts that no leak has multiplied: the mean of the cards' means is 52.50, and more where many pay much.
    let (cents, scenarios) = (integers(&rows, "amount_cents"), scenarios(&rows));
    let plain: Vec<f64> =
        cents.iter().zip(&scenarios).filter(|(_, s)| **s != 3).map(|(c, _)| *c as f64 / 100.0).collect();
    let average = mean(plain.iter().copied());
    assert!((51.0..56.0).contains(&average), "{average}");
    assert!(plain.iter().all(|amount| (0.0..400.0).contains(amount)));
}

#[test]
fn terminals_of_a_card_lie_within_five_kilometres_of_it() {
    let rows = all(&Settings::with(100_000, Some(200), Some(10_000), Some(50)));
    let (cards, terminals) = (integers(&rows, "card_id"), integers(&rows, "terminal_id"));
    let (x, y) = (floats(&rows, "terminal_x"), floats(&rows, "terminal_y"));
    let mut places: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
    let mut of_card: BTreeMap<i64, Vec<(f64, f64)>> = BTreeMap::new();
    for row in 0..rows.num_rows() {
        let place = (x[row], y[row]);
        assert!((0.0..SIDE_KM).contains(&place.0) && (0.0..SIDE_KM).contains(&place.1));
        assert_eq!(*places.entry(terminals[row]).or_insert(place), place, "a terminal stays where it is");
        of_card.entry(cards[row]).or_default().push(place);
    }
    // All places of a card lie in a circle of 5 km, so in a box of 10 km, and they fill it.
    let spread = |of: fn(&(f64, f64)) -> f64, places: &[(f64, f64)]| {
        let (low, high) = places.iter().map(of).fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
        high - low
    };
    let spreads: Vec<f64> =
        of_card.values().flat_map(|places| [spread(|p| p.0, places), spread(|p| p.1, places)]).collect();
    assert!(spreads.iter().all(|spread| *spread < 10.0));
    assert!(spreads.iter().copied().fold(0.0, f64::max) > 9.0);
}

#[test]
fn frauds_follow_their_scenarios() {
    let settings = Settings::with(600_000, Some(3_000), Some(6_000), Some(100)).seed(4);
    let rows = all(&settings);
    let days: Vec<i64> = times(&rows).iter().map(|time| time / DAY_MICROS).collect();
    let (cards, terminals) = (integers(&rows, "card_id"), integers(&rows, "terminal_id"));
    let (cents, scenarios) = (integers(&rows, "amount_cents"), scenarios(&rows));
    let frauds = rows.column_by_name("is_fraud").unwrap().as_boolean();
    let share =
        |scenario: i8| scenarios.iter().filter(|s| **s == scenario).count() as f64 / rows.num_rows() as f64;
    // Two of 10,000 terminals a day for 28 days, three of 5,000 cards a day for 14 days and a third of it. The
    // first days have fewer.
    let terminals_hit = 28.0 * 2.0 / 10_000.0 * (1.0 - 13.5 / 100.0);
    let cards_hit = 14.0 * 3.0 / 5_000.0 / 3.0 * (1.0 - 6.5 / 100.0);
    assert!((share(2) / terminals_hit - 1.0).abs() < 0.25, "{} and {terminals_hit}", share(2));
    assert!((share(3) / cards_hit - 1.0).abs() < 0.25, "{} and {cards_hit}", share(3));
    assert!((0.0003..0.002).contains(&share(1)), "{}", share(1));

    let mut compromised: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    let mut leaked: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    let mut sound: BTreeSet<(i64, i64)> = BTreeSet::new();
    for row in 0..rows.num_rows() {
        assert_eq!(frauds.value(row), scenarios[row] > 0);
        match scenarios[row] {
            0 => assert!(cents[row] <= AMOUNT_CENTS_MAX),
            1 => assert!(cents[row] > AMOUNT_CENTS_MAX),
            2 => drop(compromised.entry(terminals[row]).or_default().insert(days[row])),
            3 => {
                assert_eq!(cents[row] % 5, 0);
                leaked.entry(cards[row]).or_default().insert(days[row]);
            }
            other => panic!("scenario {other}"),
        }
        if scenarios[row] < 2 {
            sound.insert((terminals[row], days[row]));
        }
    }
    // Days of one compromise are at most 28 in a row; on none of them is the terminal sound.
    for (terminal, days) in &compromised {
        assert!(days.iter().all(|day| !sound.contains(&(*terminal, *day))), "terminal {terminal}");
    }
    let lengths = |hit: &BTreeMap<i64, BTreeSet<i64>>, days: u32| {
        let span = |found: &BTreeSet<i64>| found.last().unwrap() - found.first().unwrap() + 1;
        let (short, long): (Vec<i64>, Vec<i64>) = hit.values().map(span).partition(|s| *s <= i64::from(days));
        (short.len(), long.len(), short.into_iter().max().unwrap())
    };
    // Some are hit twice.
    let (once, twice, longest) = lengths(&compromised, COMPROMISED_DAYS);
    assert!(once > 4 * twice && longest == i64::from(COMPROMISED_DAYS), "{once} {twice} {longest}");
    let (once, twice, longest) = lengths(&leaked, LEAKED_DAYS);
    assert!(once > 4 * twice && longest == i64::from(LEAKED_DAYS), "{once} {twice} {longest}");
}
