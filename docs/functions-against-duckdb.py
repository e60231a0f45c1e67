"""Calls of Sabot's functions with random arguments, and what DuckDB says they give.

    python -m venv duckdb && duckdb/bin/pip install duckdb pytz
    duckdb/bin/python docs/functions-against-duckdb.py 500 > calls.ndjson
    SABOT_DUCKDB_CALLS=$PWD/calls.ndjson cargo test -p sabot-expr duckdb -- --nocapture

One line a call: name, arguments and result, or "error!". The number is that of calls per function, and the
arguments are the same in every run. What docs/functions.md says is different on purpose is left out: letters
with unusual case in `upper`, grapheme clusters in `reverse`, what `\\w` means beyond ASCII, `ceil` and `floor`
of integers, `millisecond` and `microsecond`, groups that a pattern does not have, `hash`. Written for DuckDB 2.0.
"""

import datetime
import json
import math
import random
import sys

import duckdb

rng = random.Random(20010101)
connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")

WORDS = ["", "a", "ab", "SFO", "Zürich", "x-y-z", "  a ", "a,b,,c", "🦀🦀", "e\u0301", "aaa", "日本 語", "\t7", "1-22-333", "Ünï çødé"]
PATTERNS = ["[0-9]+", "(a)|(b)", "^S", "", ".", "(?i)[sfo]{2}", "([0-9]+)-([0-9]+)", "(x*)y?", "a|ab"]
REPLACEMENTS = ["", "-", "\\0\\0", "a\\\\b"]
ZONES = ["Europe/Zurich", "America/New_York", "America/Sao_Paulo", "Asia/Kathmandu", "Australia/Lord_Howe"]
PARTS = ["year", "quarter", "month", "week", "day", "isodow", "dayofyear", "hour", "minute", "second", "isoyear",
         "decade", "century", "millennium"]
OURS = {"isodow": "day_of_week", "dayofyear": "day_of_year", "isoyear": "iso_year"}
UNITS = ["millennium", "century", "decade", "year", "quarter", "month", "week", "day", "hour", "minute", "second",
         "millisecond"]


def null(draw):
    return lambda: None if rng.random() < 0.05 else draw()


def word():
    return rng.choice(WORDS) + rng.choice(["", "", rng.choice(WORDS)])


def plain():
    return "".join(rng.choice("abcXYZ 0189-_") for _ in range(rng.randrange(8)))


def small():
    return rng.randrange(-6, 8)


def integer():
    return rng.choice([rng.randrange(-100, 100), rng.randrange(-2**40, 2**40)])


def number():
    special = [0.0, -0.0, math.nan, math.inf, -math.inf, 0.5, -0.5, 2.5, 1e300, 1e-300]
    return rng.choice(special) if rng.random() < 0.2 else rng.uniform(-100, 100)


def moment():
    return datetime.datetime(1900, 1, 1) + datetime.timedelta(microseconds=rng.randrange(0, 190 * 365 * 86_400 * 10**6))


def date():
    return moment().date()


def one_of(values):
    return lambda: rng.choice(values)


# Name, SQL with ? for the arguments, what draws them.
CALLS = [
    ("lower", "lower(?)", [word]),
    ("upper", "upper(?)", [word]),
    ("trim", "trim(?)", [word]),
    ("trim", "trim(?, ?)", [word, one_of(["a", "xz", " ü", "🦀"])]),
    ("ltrim", "ltrim(?, ?)", [word, one_of(["a", "xz", " ü", "🦀"])]),
    ("rtrim", "rtrim(?)", [word]),
    ("length", "length(?)", [word]),
    ("substring", "substring(?, ?)", [word, small]),
    ("substring", "substring(?, ?, ?)", [word, small, small]),
    ("left", "left(?, ?)", [word, small]),
    ("right", "right(?, ?)", [word, small]),
    ("concat", "concat(?, ?, ?)", [word, word, word]),
    ("concat_ws", "concat_ws(?, ?, ?)", [word, word, word]),
    ("starts_with", "starts_with(?, ?)", [word, one_of(["", "a", "Z", "🦀"])]),
    ("ends_with", "ends_with(?, ?)", [word, one_of(["", "a", "ch", "🦀"])]),
    ("contains", "contains(?::varchar, ?::varchar)", [word, one_of(["", "a", "-", "🦀"])]),
    ("strpos", "strpos(?, ?)", [word, one_of(["", "a", "-", "🦀", "語"])]),
    ("replace", "replace(?, ?, ?)", [word, one_of(["", "a", "aa", "🦀"]), one_of(["", "b", "ü"])]),
    ("split_part", "split_part(?, ?, ?)", [word, one_of(["", "a", "aa", "-", ","]), small]),
    ("repeat", "repeat(?, ?)", [word, small]),
    ("lpad", "lpad(?, ?, ?)", [word, small, one_of(["", " ", "ab", "ü"])]),
    ("rpad", "rpad(?, ?, ?)", [word, small, one_of(["", " ", "ab", "ü"])]),
    ("reverse", "reverse(?)", [plain]),
    ("regexp_matches", "regexp_matches(?, ?)", [word, one_of(PATTERNS)]),
    ("regexp_full_match", "regexp_full_match(?, ?)", [word, one_of(PATTERNS)]),
    ("regexp_extract", "regexp_extract(?, ?)", [word, one_of(PATTERNS)]),
    ("regexp_extract", "regexp_extract(?, ?, 1)", [word, one_of([p for p in PATTERNS if "(" in p and "?i" not in p])]),
    ("regexp_replace", "regexp_replace(?, ?, ?)", [word, one_of(PATTERNS), one_of(REPLACEMENTS)]),
    ("regexp_replace", "regexp_replace(?, ?, ?, 'g')", [word, one_of(PATTERNS), one_of(REPLACEMENTS)]),
    ("abs", "abs(?::bigint)", [integer]),
    ("abs", "abs(?::double)", [number]),
    ("sign", "sign(?::double)", [number]),
    ("sign", "sign(?::bigint)", [integer]),
    ("round", "round(?::bigint, ?::int)", [integer, small]),
    ("round", "round(?::double, ?::int)", [number, small]),
    ("shift_left", "(?::bigint << ?::bigint)", [integer, one_of([-1, 0, 1, 7, 40, 63, 64, 90])]),
    ("shift_right", "(?::bigint >> ?::bigint)", [integer, one_of([-1, 0, 1, 7, 40, 63, 64, 90])]),
    ("bitwise_and", "(?::bigint & ?::bigint)", [integer, integer]),
    ("bitwise_or", "(?::bigint | ?::bigint)", [integer, integer]),
    ("bitwise_xor", "xor(?::bigint, ?::bigint)", [integer, integer]),
    ("bitwise_not", "(~?::bigint)", [integer]),
    ("bit_count", "bit_count(?::bigint)", [integer]),
    ("nullif", "nullif(?::bigint, ?::bigint)", [small, small]),
    ("nullif", "nullif(?::double, ?::double)", [number, number]),
    ("greatest", "greatest(?::double, ?::double, ?::double)", [number, number, number]),
    ("least", "least(?::bigint, ?::bigint, ?::bigint)", [integer, integer, integer]),
    ("is_nan", "isnan(?::double)", [number]),
    ("is_finite", "isfinite(?::double)", [number]),
    ("is_infinite", "isinf(?::double)", [number]),
    ("log", "log(?::double, ?::double)", [number, number]),
    ("power", "power(?::double, ?::double)", [number, number]),
    ("atan2", "atan2(?::double, ?::double)", [number, number]),
    ("pi", "pi()", []),
]
for name in ["ceil", "floor", "trunc", "round", "sqrt", "cbrt", "exp", "ln", "log2", "log10", "sin", "cos", "tan", "asin",
             "acos", "atan", "sinh", "cosh", "tanh", "degrees", "radians"]:
    CALLS.append((name, f"{name}(?::double)", [number]))
LOCAL = "timezone('{zone}', timezone('UTC', ?::timestamp))"
for part in PARTS:
    CALLS.append(("date_part", f"date_part('{part}', ?::timestamp)", [moment], [OURS.get(part, part)], []))
    CALLS.append(("date_part", f"date_part('{part}', ?::date)", [date], [OURS.get(part, part)], []))
    for zone in ZONES:
        sql = f"date_part('{part}', {LOCAL.format(zone=zone)})"
        CALLS.append(("date_part", sql, [moment], [OURS.get(part, part)], [zone]))
for unit in UNITS:
    CALLS.append(("date_trunc", f"date_trunc('{unit}', ?::timestamp)", [moment], [unit], []))
    CALLS.append(("date_trunc", f"date_trunc('{unit}', ?::date)::date", [date], [unit], []))
    # DuckDB truncates a timestamptz in the session's zone. To decades and more it does so with an offset that did
    # not hold then.
    for zone in ZONES if unit not in ["millennium", "century", "decade"] else []:
        sql = f"date_trunc('{unit}', ?::timestamptz)"
        CALLS.append(("date_trunc", sql, [moment], [unit], [zone]))
CALLS += [("regexp_extract", "regexp_extract(?, ?, 2)", [word, one_of(["(a)|(b)", "([0-9]+)-([0-9]+)"])], [], [2])]


def encoded(value):
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, datetime.datetime):
        naive = value.astimezone(datetime.timezone.utc).replace(tzinfo=None) if value.tzinfo else value
        return {"timestamp": (naive - datetime.datetime(1970, 1, 1)) // datetime.timedelta(microseconds=1)}
    if isinstance(value, datetime.date):
        return {"date": (value - datetime.date(1970, 1, 1)).days}
    return value


for call in CALLS:
    name, sql, draws = call[:3]
    before, after = call[3:] if len(call) > 3 else ([], [])
    if "'g'" in sql:
        after = ["g"]
    if ", 1)" in sql:
        after = [1]
    zone = after[0] if after and name == "date_trunc" else "UTC"
    connection.execute(f"SET TimeZone = '{zone}'")
    for _ in range(int(sys.argv[1])):
        args = [null(draw)() for draw in draws]
        bound = [a.replace(tzinfo=datetime.timezone.utc) if "timestamptz" in sql and a else a for a in args]
        try:
            result = encoded(connection.execute(f"SELECT {sql}", bound).fetchone()[0])
        except duckdb.Error:
            result = "error!"
        line = {"call": name, "args": before + [encoded(a) for a in args] + after, "result": result}
        print(json.dumps(line, ensure_ascii=False))
