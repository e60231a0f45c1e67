//! From transactions to alerts: what card and terminal did before, what rules say, what a model says.

use sabot::prelude::*;
use sabot::{AggregateExpr, OverExpr, Span, null};

use crate::generate::AMOUNT_CENTS_MAX;
use crate::input::{FED, Input};

/// How long it takes until it is known whether a transaction was a fraud.
pub const LABEL_DELAY_DAYS: i64 = 7;
/// How far back a card's transactions are looked at.
const CARD_WINDOWS: [(&str, Span); 4] =
    [("1h", hours(1)), ("24h", hours(24)), ("7d", days(7)), ("30d", days(30))];
/// For how many days before the delay of labels a terminal's transactions are looked at.
const TERMINAL_WINDOWS: [(&str, i64); 3] = [("1d", 1), ("7d", 7), ("30d", 30)];

/// More than so many times a card's average is unusual.
const UNUSUAL_FACTOR: f64 = 5.0;
/// An average of fewer transactions says little.
const UNUSUAL_COUNT_MIN: i64 = 6;
/// Nobody carries a card faster.
const KM_PER_HOUR_MAX: f64 = 200.0;

/// Columns of a transaction that travel with its features.
const KEPT: [&str; 7] =
    ["transaction_id", "event_time", "card_id", "terminal_id", "amount_cents", "is_fraud", "fraud_scenario"];

/// Features that are true or false; all others are numbers.
pub const FLAGS: [&str; 2] = ["is_night", "is_weekend"];

/// The rules, by the column that says whether a transaction breaks one.
pub const RULES: [&str; 3] = ["amount_over_220", "amount_over_5_times_card_avg_30d", "implausible_speed"];

/// Every feature, in the order of the columns.
///
/// ```
/// let names = fraud_detection::pipeline::feature_names();
/// assert_eq!((names.len(), names[0].as_str(), names[1].as_str()), (28, "amount", "card_count_1h"));
/// ```
pub fn feature_names() -> Vec<String> {
    let mut names = vec!["amount".to_owned()];
    for (window, _) in CARD_WINDOWS {
        names.extend(["count", "sum", "avg", "max"].map(|what| format!("card_{what}_{window}")));
    }
    for (window, _) in TERMINAL_WINDOWS {
        names.extend(["count", "risk"].map(|what| format!("terminal_{what}_{window}")));
    }
    let of_row = ["previous_seconds", "previous_km", "previous_km_per_hour"];
    names.extend(of_row.into_iter().chain(FLAGS).map(str::to_owned));
    names
}

/// Transactions with their features.
#[derive(Clone, Debug)]
pub struct Features {
    /// Those that came in time: what identifies them, what is known of them, and a column for each of
    /// [`feature_names`].
    pub rows: Stream,
    /// Those that came too late to be seen by others, as they were read.
    pub late: Stream,
}

/// The features of transactions.
///
/// A window of W ends with the transaction and includes all of its time, both ends closed. (In the handbook windows
/// are half-open, so a transaction exactly W before is left out, and night is up to 06:59.) Terminals are looked at
/// up to seven days before, because nobody knows before then what was a fraud; what is not known by then is counted and
/// is none.
///
/// # Errors
/// When columns are missing.
pub fn features(input: &Input) -> sabot::Result<Features> {
    // ANCHOR: before
    let by_card = |what: OverExpr| what.then_by(["transaction_id"]);
    let card = |what: AggregateExpr, name: &str, (window, span): (&str, Span)| {
        by_card(what.over(["card_id"], range(span)).alias(format!("card_{name}_{window}")))
    };
    let terminal = |what: AggregateExpr, name: &str, (window, length): (&str, i64)| {
        let known = range_between(days(LABEL_DELAY_DAYS + length), days(LABEL_DELAY_DAYS));
        what.over(["terminal_id"], known).alias(format!("terminal_{name}_{window}"))
    };
    let mut before: Vec<OverExpr> = Vec::new();
    for window in CARD_WINDOWS {
        before.push(card(count(), "count", window));
        before.push(card(sum(col("amount_cents")), "sum", window));
        before.push(card(avg(col("amount_cents")), "avg", window));
        before.push(card(max(col("amount_cents")), "max", window));
    }
    for window in TERMINAL_WINDOWS {
        before.push(terminal(count(), "count", window));
        if input.has_labels {
            let fraud = coalesce([col("is_fraud"), lit(false)]);
            before.push(terminal(avg(fraud), "risk", window));
        }
    }
    for column in ["event_time", "terminal_x", "terminal_y"] {
        before.push(by_card(lag(column, 1).over(["card_id"], whole()).alias(format!("previous_{column}"))));
    }
    let (rows, late) = input.transactions.clone().with_columns(before)?.split_late()?;
    // ANCHOR_END: before

    let fed = rows.schema().index_of(FED).is_ok().then(|| col(FED));
    let kept: Vec<Expr> = KEPT.map(col).into_iter().chain(fed).collect();
    let distance = rows.with_columns([seconds_since_previous(), km_since_previous()])?;
    let rows = distance.select(kept.into_iter().chain(columns(input.has_labels)))?;
    Ok(Features { rows, late })
}

fn seconds_since_previous() -> Expr {
    let micros = |time: &str| col(time).cast(DataType::Int64);
    let passed = micros("event_time") - micros("previous_event_time");
    (passed.cast(DataType::Float64) / 1e6).alias("previous_seconds")
}

fn km_since_previous() -> Expr {
    let square = |axis: &str| {
        let apart = || col(format!("terminal_{axis}")) - col(format!("previous_terminal_{axis}"));
        apart() * apart()
    };
    (square("x") + square("y")).sqrt().alias("previous_km")
}

/// The features, in units that a person reads: amounts in the currency, not in cents.
fn columns(has_labels: bool) -> Vec<Expr> {
    let currency = |name: &str| (col(name).cast(DataType::Float64) / 100.0).alias(name);
    let mut columns = vec![currency("amount_cents").alias("amount")];
    for (window, _) in CARD_WINDOWS {
        columns.push(col(format!("card_count_{window}")));
        columns.extend(["sum", "avg", "max"].map(|what| currency(&format!("card_{what}_{window}"))));
    }
    for (window, _) in TERMINAL_WINDOWS {
        columns.push(col(format!("terminal_count_{window}")));
        let risk = format!("terminal_risk_{window}");
        columns.push(match has_labels {
            true => coalesce([col(&risk), lit(0.0)]).alias(risk),
            false => null().cast(DataType::Float64).alias(risk),
        });
    }
    let per_hour =
        when(col("previous_seconds").gt(0.0)).then(col("previous_km") / (col("previous_seconds") / 3_600.0));
    columns.extend([
        col("previous_seconds"),
        col("previous_km"),
        per_hour.end().alias("previous_km_per_hour"),
        col("event_time").hour().lt(6).alias("is_night"),
        col("event_time").day_of_week().gt_eq(6).alias("is_weekend"),
    ]);
    columns
}

// ANCHOR: rules
/// Adds to features with a `score` which rules are broken, a column for each of [`RULES`], and `alert`: whether any
/// is, or the score is at or above a threshold.
///
/// # Errors
/// When columns are missing.
pub fn judged(scored: Stream, threshold: f64) -> sabot::Result<Stream> {
    // In whole cents: five times an average that was rounded is not always five times the average.
    let number = |name: &str| col(name).cast(DataType::Float64);
    let cents_of_all = (col("card_sum_30d") * 100.0).round();
    let unusual = (number("amount_cents") * number("card_count_30d")).gt(cents_of_all * UNUSUAL_FACTOR);
    let moved_at_once = col("previous_seconds").eq(0.0).and(col("previous_km").gt(0.0));
    let too_fast = col("previous_km_per_hour").gt(KM_PER_HOUR_MAX).or(moved_at_once);
    let [amount, average, speed] = RULES;
    let rules = scored.with_columns([
        col("amount_cents").gt(AMOUNT_CENTS_MAX).alias(amount),
        unusual.and(col("card_count_30d").gt_eq(UNUSUAL_COUNT_MIN)).alias(average),
        // Nobody knows where the first transaction came from.
        coalesce([too_fast, lit(false)]).alias(speed),
    ])?;
    let high = col("score").gt_eq(threshold);
    rules.with_columns([RULES.into_iter().fold(high, |any, rule| any.or(col(rule))).alias("alert")])
}
// ANCHOR_END: rules

/// What `--features` writes: which transaction it is, every feature, and the score.
///
/// # Errors
/// When columns are missing.
pub fn feature_rows(scored: &Stream) -> sabot::Result<Stream> {
    let names = ["transaction_id", "event_time"].map(str::to_owned).into_iter();
    let names = names.chain(feature_names()).chain(["score".to_owned()]);
    scored.clone().select(names.map(col).collect::<Vec<_>>())
}

/// Transactions, alerts and known frauds by day: `window_start, window_end, transactions, alerts, frauds`.
///
/// # Errors
/// When columns are missing.
pub fn by_day(judged: &Stream) -> sabot::Result<Stream> {
    judged.clone().window(tumbling(days(1)))?.aggregate([
        count().alias("transactions"),
        count().filter(col("alert")).alias("alerts"),
        count().filter(col("is_fraud")).alias("frauds"),
    ])
}
