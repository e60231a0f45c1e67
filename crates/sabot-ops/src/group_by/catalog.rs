//! What there is to know about each aggregate function, as a table.
//!
//! Messages and `docs/aggregates.md` are made from it; tests hold both to what the functions do.

use super::AggregateFunction;

/// One aggregate function, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AggregateInfo {
    /// Its name in SQL.
    pub name: &'static str,
    /// How it is called in Rust.
    pub call: &'static str,
    /// What it gives.
    pub summary: &'static str,
    /// The arguments that it takes.
    pub arguments: &'static str,
    /// The type of the result.
    pub result: &'static str,
    /// What nulls do, and what there is without values.
    pub nulls: &'static str,
    /// When a result cannot be given, and how exact it is.
    pub exactness: &'static str,
    /// The columns of partial state.
    pub state: &'static str,
    /// A call over the rows that the documentation shows.
    pub example: &'static str,
    /// What it gives.
    pub example_result: &'static str,
}

/// All functions but those that users write, in the order of the documentation.
pub static CATALOG: [&AggregateInfo; 21] = [
    &COUNT,
    &COUNT_DISTINCT,
    &APPROX_COUNT_DISTINCT,
    &SUM,
    &AVG,
    &MIN,
    &MAX,
    &BOOL_AND,
    &BOOL_OR,
    &FIRST,
    &LAST,
    &ARRAY_AGG,
    &STRING_AGG,
    &VAR_SAMP,
    &VAR_POP,
    &STDDEV_SAMP,
    &STDDEV_POP,
    &COVAR_SAMP,
    &COVAR_POP,
    &CORR,
    &APPROX_QUANTILE,
];

pub(super) fn info(function: &AggregateFunction) -> &'static AggregateInfo {
    use AggregateFunction as F;
    match function {
        F::Count => &COUNT,
        F::CountDistinct => &COUNT_DISTINCT,
        F::Sum => &SUM,
        F::Avg => &AVG,
        F::Min => &MIN,
        F::Max => &MAX,
        F::BoolAnd => &BOOL_AND,
        F::BoolOr => &BOOL_OR,
        F::First => &FIRST,
        F::Last => &LAST,
        F::VarSamp => &VAR_SAMP,
        F::VarPop => &VAR_POP,
        F::StddevSamp => &STDDEV_SAMP,
        F::StddevPop => &STDDEV_POP,
        F::CovarSamp => &COVAR_SAMP,
        F::CovarPop => &COVAR_POP,
        F::Corr => &CORR,
        F::ArrayAgg => &ARRAY_AGG,
        F::StringAgg { .. } => &STRING_AGG,
        F::ApproxCountDistinct => &APPROX_COUNT_DISTINCT,
        F::ApproxQuantile { .. } => &APPROX_QUANTILE,
        F::User(_) => &USER,
    }
}

const NUMBER: &str = "an integer, a float or a decimal";
const TWO_NUMBERS: &str = "two numbers: integers, floats or decimals";
const KEY: &str =
    "a value that can be a key: a boolean, an integer, a float, a string, a date, a timestamp or a decimal";
const ORDERED: &str =
    "a boolean, an integer, a float, a decimal, a string, a date, a time, a timestamp or a duration";
const ANY: &str = "a value of any type";
const NULL_WITHOUT: &str = "skipped; null without values";
const NEVER_FAILS: &str = "exact; never fails";
const VARIANCE: &str = "integers: exact sums, one rounding each for difference, divisor and quotient; else within \
     the bound for moments. NaN or an infinity among the values makes it NaN";
const VARIANCE_STATE: &str = "`count` int64; of integers `sum_x` decimal128(38, 0) and `sum_xx_high`, `sum_xx_low` \
     decimal128(38, 0); else `mean_x` and `moment_xx` float64";
const COVARIANCE_STATE: &str = "`count` int64; of integers `sum_x`, `sum_y`, `sum_xy_high`, `sum_xy_low` \
     decimal128(38, 0); else `mean_x`, `mean_y`, `moment_xy` float64";

static COUNT: AggregateInfo = AggregateInfo {
    name: "count",
    call: "count(), count_of(x)",
    summary: "How many rows there are; with an argument, how many values are not null.",
    arguments: "nothing, or a value of any type",
    result: "int64",
    nulls: "not counted; never null",
    exactness: NEVER_FAILS,
    state: "`count` int64",
    example: r#"count_of(col("delay"))"#,
    example_result: "3",
};

static COUNT_DISTINCT: AggregateInfo = AggregateInfo {
    name: "count_distinct",
    call: "count_distinct(x)",
    summary: "How many different values there are. Values are equal as keys are: −0.0 equals 0.0, all NaNs are equal.",
    arguments: KEY,
    result: "int64",
    nulls: "not counted; never null",
    exactness: NEVER_FAILS,
    state: "`values` list of the values in order, each once, in canonical form",
    example: r#"count_distinct(col("delay"))"#,
    example_result: "2",
};

static APPROX_COUNT_DISTINCT: AggregateInfo = AggregateInfo {
    name: "approx_count_distinct",
    call: "approx_count_distinct(x)",
    summary: "About how many different values there are, from 4 KiB of state at most.",
    arguments: KEY,
    result: "int64",
    nulls: "not counted; never null",
    exactness: "standard error 1.6 %; the same values give the same result on every device and in every order",
    state: "`sketch` binary: a HyperLogLog of 4,096 registers",
    example: r#"approx_count_distinct(col("delay"))"#,
    example_result: "2",
};

static SUM: AggregateInfo = AggregateInfo {
    name: "sum",
    call: "sum(x)",
    summary: "The sum of the values.",
    arguments: "an integer, a float, a decimal or a duration",
    result: "int64 of signed integers, uint64 of unsigned ones, float64 of floats, decimal128(38, s) of decimals, the \
     argument's type of durations",
    nulls: NULL_WITHOUT,
    exactness: "exact; a sum beyond the result's range is an error. Floats: within the bound for sums",
    state: "`sum`: decimal128(38, 0) of integers and durations, float64 of floats, decimal128(38, s) of decimals of up to 19 digits, \
     decimal256(76, s) of longer ones",
    example: r#"sum(col("delay"))"#,
    example_result: "30",
};

static AVG: AggregateInfo = AggregateInfo {
    name: "avg",
    call: "avg(x)",
    summary: "The arithmetic mean of the values; of booleans the share that is true.",
    arguments: "an integer, a float, a decimal, a boolean, a timestamp or a duration",
    result: "float64; decimal128(p + 4, s + 4) of decimal128(p, s), with fewer more digits where 38 are reached; the \
     argument's type of timestamps and durations",
    nulls: NULL_WITHOUT,
    exactness: "exact sum ÷ count, rounded once each; decimals, timestamps and durations to the nearest, halves away from zero. \
     Floats: within the bound for sums ÷ n",
    state: "`sum` as sum has it (decimal128(38, 0) of booleans, timestamps and durations), `count` int64",
    example: r#"avg(col("delay"))"#,
    example_result: "10.0",
};

static MIN: AggregateInfo = AggregateInfo {
    name: "min",
    call: "min(x)",
    summary: "The least value. NaN is greatest, strings are compared by their bytes, of equal zeros either may be given.",
    arguments: ORDERED,
    result: "the argument's type; of a dictionary that of its values",
    nulls: NULL_WITHOUT,
    exactness: NEVER_FAILS,
    state: "`value` of the result's type",
    example: r#"min(col("delay"))"#,
    example_result: "5",
};

static MAX: AggregateInfo = AggregateInfo {
    name: "max",
    call: "max(x)",
    summary: "The greatest value, in the order of min.",
    arguments: ORDERED,
    result: "the argument's type; of a dictionary that of its values",
    nulls: NULL_WITHOUT,
    exactness: NEVER_FAILS,
    state: "`value` of the result's type",
    example: r#"max(col("delay"))"#,
    example_result: "20",
};

static BOOL_AND: AggregateInfo = AggregateInfo {
    name: "bool_and",
    call: "bool_and(x)",
    summary: "Whether all values are true.",
    arguments: "a boolean",
    result: "bool",
    nulls: NULL_WITHOUT,
    exactness: NEVER_FAILS,
    state: "`value` bool",
    example: r#"bool_and(col("on_time"))"#,
    example_result: "false",
};

static BOOL_OR: AggregateInfo = AggregateInfo {
    name: "bool_or",
    call: "bool_or(x)",
    summary: "Whether any value is true.",
    arguments: "a boolean",
    result: "bool",
    nulls: NULL_WITHOUT,
    exactness: NEVER_FAILS,
    state: "`value` bool",
    example: r#"bool_or(col("on_time"))"#,
    example_result: "true",
};

static FIRST: AggregateInfo = AggregateInfo {
    name: "first",
    call: "first(x)",
    summary: "The value of the first row.",
    arguments: ANY,
    result: "the argument's type; of a dictionary that of its values",
    nulls: "given where the row has one; null without rows. `.filter(x.is_not_null())` skips them",
    exactness: NEVER_FAILS,
    state: "`value` of the result's type, `order` binary: the row's place",
    example: r#"first(col("tail"))"#,
    example_result: "N1",
};

static LAST: AggregateInfo = AggregateInfo {
    name: "last",
    call: "last(x)",
    summary: "The value of the last row.",
    arguments: ANY,
    result: "the argument's type; of a dictionary that of its values",
    nulls: "as first",
    exactness: NEVER_FAILS,
    state: "as first",
    example: r#"last(col("tail"))"#,
    example_result: "N3",
};

static ARRAY_AGG: AggregateInfo = AggregateInfo {
    name: "array_agg",
    call: "array_agg(x)",
    summary: "All values as a list, in the order of rows.",
    arguments: ANY,
    result: "list of the argument's type; of a dictionary that of its values",
    nulls: "are items; null without rows",
    exactness: NEVER_FAILS,
    state: "`values` list of the values, `orders` list of binary: the rows' places, ascending",
    example: r#"array_agg(col("delay"))"#,
    example_result: "[5, , 20, 5]",
};

static STRING_AGG: AggregateInfo = AggregateInfo {
    name: "string_agg",
    call: "string_agg(x, separator)",
    summary: "All strings as one, in the order of rows, with a separator between them.",
    arguments: "a string",
    result: "the argument's type; of a dictionary as its values",
    nulls: NULL_WITHOUT,
    exactness: "more than 2 GiB in one utf8 column are an error",
    state: "as array_agg",
    example: r#"string_agg(col("tail"), ", ")"#,
    example_result: "N1, N2, N3",
};

static VAR_SAMP: AggregateInfo = AggregateInfo {
    name: "var_samp",
    call: "var_samp(x)",
    summary: "The variance of a sample: squares of distances from the mean, added up, ÷ (n − 1).",
    arguments: NUMBER,
    result: "float64",
    nulls: "skipped; null with fewer than two values",
    exactness: VARIANCE,
    state: VARIANCE_STATE,
    example: r#"var_samp(col("delay"))"#,
    example_result: "75.0",
};

static VAR_POP: AggregateInfo = AggregateInfo {
    name: "var_pop",
    call: "var_pop(x)",
    summary: "The variance of a whole population: ÷ n.",
    arguments: NUMBER,
    result: "float64",
    nulls: NULL_WITHOUT,
    exactness: VARIANCE,
    state: VARIANCE_STATE,
    example: r#"var_pop(col("delay"))"#,
    example_result: "50.0",
};

static STDDEV_SAMP: AggregateInfo = AggregateInfo {
    name: "stddev_samp",
    call: "stddev_samp(x)",
    summary: "The standard deviation of a sample: the square root of var_samp.",
    arguments: NUMBER,
    result: "float64",
    nulls: "skipped; null with fewer than two values",
    exactness: VARIANCE,
    state: VARIANCE_STATE,
    example: r#"stddev_samp(col("delay"))"#,
    example_result: "8.660254037844387",
};

static STDDEV_POP: AggregateInfo = AggregateInfo {
    name: "stddev_pop",
    call: "stddev_pop(x)",
    summary: "The standard deviation of a whole population: the square root of var_pop.",
    arguments: NUMBER,
    result: "float64",
    nulls: NULL_WITHOUT,
    exactness: VARIANCE,
    state: VARIANCE_STATE,
    example: r#"stddev_pop(col("delay"))"#,
    example_result: "7.0710678118654755",
};

static COVAR_SAMP: AggregateInfo = AggregateInfo {
    name: "covar_samp",
    call: "covar_samp(x, y)",
    summary: "The covariance of a sample of pairs: products of distances from the means, added up, ÷ (n − 1).",
    arguments: TWO_NUMBERS,
    result: "float64",
    nulls: "pairs with a null are skipped; null with fewer than two pairs",
    exactness: VARIANCE,
    state: COVARIANCE_STATE,
    example: r#"covar_samp(col("delay"), col("gate"))"#,
    example_result: "-7.5",
};

static COVAR_POP: AggregateInfo = AggregateInfo {
    name: "covar_pop",
    call: "covar_pop(x, y)",
    summary: "The covariance of a whole population of pairs: ÷ n.",
    arguments: TWO_NUMBERS,
    result: "float64",
    nulls: "pairs with a null are skipped; null without pairs",
    exactness: VARIANCE,
    state: COVARIANCE_STATE,
    example: r#"covar_pop(col("delay"), col("gate"))"#,
    example_result: "-5.0",
};

static CORR: AggregateInfo = AggregateInfo {
    name: "corr",
    call: "corr(x, y)",
    summary: "Pearson's correlation coefficient of pairs, from −1 to 1.",
    arguments: TWO_NUMBERS,
    result: "float64",
    nulls: "pairs with a null are skipped; null without pairs, and where all values on one side are the same",
    exactness: VARIANCE,
    state: "`count` int64; of integers `sum_x`, `sum_y` and the high and low halves of `sum_xx`, `sum_yy`, `sum_xy` \
     decimal128(38, 0); else `mean_x`, `mean_y`, `moment_xx`, `moment_yy`, `moment_xy` float64",
    example: r#"corr(col("delay"), col("gate"))"#,
    example_result: "-0.5",
};

static APPROX_QUANTILE: AggregateInfo = AggregateInfo {
    name: "approx_quantile",
    call: "approx_quantile(x, q)",
    summary: "About the value of rank ⌊q · (n − 1)⌋ of n values in order, counted from 0; q = 0.5 is the median. NaN is \
     greatest.",
    arguments: NUMBER,
    result: "float64",
    nulls: NULL_WITHOUT,
    exactness: "off by 1/128 of the value at most; the same values give the same result on every device and in every \
     order",
    state: "`sketch` binary: a DDSketch with 64 buckets for each power of two",
    example: r#"approx_quantile(col("delay"), 0.5)"#,
    example_result: "5.03125",
};

static USER: AggregateInfo = AggregateInfo {
    name: "user function",
    call: "call_aggregate(name, version, arguments)",
    summary: "What a user wrote.",
    arguments: "what it says that it takes",
    result: "what it says that it returns",
    nulls: "as it says",
    exactness: "as it says",
    state: "`part0`, `part1` and so on, as it says",
    example: "",
    example_result: "",
};
