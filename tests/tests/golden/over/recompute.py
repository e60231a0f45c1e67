"""Random window functions, sorts, limits and distinct rows, and what DuckDB makes of them.

    python3 -m venv .venv && .venv/bin/pip install -r requirements.txt
    .venv/bin/python recompute.py --cases 300 > cases.ndjson       # what stands here
    .venv/bin/python recompute.py --cases 10000 --seed 7 > .venv/cases.ndjson
    SABOT_OVER_CASES=$PWD/.venv/cases.ndjson cargo test -p sabot-tests --test golden over

One case a line. Rows have nulls, NaN, -0.0 and duplicates, and a number of their own (v), by which ties are
broken: it is the order of the stream. Where a function looks at rows that are equal in the order (ranks,
ranges) the number must not be part of DuckDB's order, so it is not asked which of them stands first.
Floats are text, because JSON has no NaN; their sums are exact.
"""

import argparse
import json
import random

import duckdb

TYPES = {"k": "BIGINT", "f": "DOUBLE", "s": "VARCHAR"}
VALUES = {
    "k": [None, 0, 1, 2, 3, 5, 9],
    "f": [None, "NaN", "0.0", "-0.0", "1.5", "-2.25", "inf"],
    "s": [None, "", "a", "b", "SFO"],
}
PEERS = ["rank", "dense_rank"]
PLACES = ["row_number", "lag", "lead"]
VALUES_OF_FRAMES = ["first_value", "last_value"]
AGGREGATES = ["count", "sum", "avg", "min", "max"]
BOUNDS = ["unbounded preceding", "preceding", "current row", "following", "unbounded following"]


def table(rng, rows):
    pools = {name: rng.sample(pool, rng.randint(1, len(pool))) for name, pool in VALUES.items()}
    return [[rng.choice(pools[name]) for name in TYPES] for _ in range(rows)]


def order(rng, names):
    keys = rng.sample(names, rng.randint(1, len(names)))
    return [[key, rng.random() < 0.5, rng.random() < 0.5] for key in keys]


def order_by(keys, number):
    text = [
        f"{key} {'DESC' if down else 'ASC'} NULLS {'FIRST' if first else 'LAST'}" for key, down, first in keys
    ]
    return "ORDER BY " + ", ".join(text + ([number] if number else []))


def frame(rng, units):
    while True:
        start, end = (rng.choice(range(5)) for _ in range(2))
        if start <= end and start != 4 and end != 0:
            break
    distance = lambda bound: rng.randint(0, 3) if BOUNDS[bound] in ("preceding", "following") else None
    return {"units": units, "start": [BOUNDS[start], distance(start)], "end": [BOUNDS[end], distance(end)]}


def sql_bound(bound):
    name, distance = bound
    return name if distance is None else f"{distance} {name}"


def over(rng):
    function = rng.choice(PEERS + PLACES + VALUES_OF_FRAMES + AGGREGATES * 3)
    case = {"ask": "over", "function": function, "partition": rng.sample(list(TYPES), rng.randint(0, 2))}
    case["argument"] = rng.choice(["k", "f"] if function in ("sum", "avg") else list(TYPES))
    case["rows"] = rng.randint(0, 3)
    ranges = function in PEERS or (function in AGGREGATES and rng.random() < 0.5)
    # Distances between values take one key, which is a number.
    case["order"] = order(rng, ["k"] if ranges and function in AGGREGATES else list(TYPES))
    case["frame"] = frame(rng, "range" if ranges else "rows")
    return case


def sql_over(case):
    function, argument = case["function"], case["argument"]
    call = {
        "row_number": "row_number()",
        "rank": "rank()",
        "dense_rank": "dense_rank()",
        "lag": f"lag({argument}, {case['rows']})",
        "lead": f"lead({argument}, {case['rows']})",
        "sum": f"sum({argument})",
    }.get(function, f"{function}({argument})")
    partition = f"PARTITION BY {', '.join(case['partition'])}" if case["partition"] else ""
    ranges = case["frame"]["units"] == "range"
    rows = order_by(case["order"], None if ranges else "v")
    between = ""
    if function in AGGREGATES + VALUES_OF_FRAMES:
        bounds = [sql_bound(case["frame"][end]) for end in ("start", "end")]
        between = f"{case['frame']['units']} BETWEEN {bounds[0]} AND {bounds[1]}"
    cast = "::BIGINT" if function == "sum" and argument == "k" else ""
    return f"SELECT v, ({call} OVER ({partition} {rows} {between})){cast} FROM t ORDER BY v"


def ranked(rng):
    ask = rng.choice(["sort", "limit", "top_n", "first", "last", "distinct"])
    case = {"ask": ask, "order": order(rng, list(TYPES)), "skip": rng.randint(0, 3), "fetch": rng.randint(0, 6)}
    case["partition"] = rng.sample(list(TYPES), rng.randint(1, 2))
    return case


def sql_ranked(case):
    keys, partition = order_by(case["order"], "v"), ", ".join(case["partition"])
    limit = f"LIMIT {case['fetch']} OFFSET {case['skip']}"
    number = lambda order: f"row_number() OVER (PARTITION BY {partition} {order})"
    return {
        "sort": f"SELECT v, 0 FROM t {keys}",
        "limit": f"SELECT v, 0 FROM t {keys} {limit}",
        "top_n": f"SELECT v, n FROM (SELECT v, {number(keys)} AS n FROM t) WHERE n <= {case['fetch']} ORDER BY v",
        "first": f"SELECT v, 0 FROM (SELECT v, {number('ORDER BY v')} AS n FROM t) WHERE n = 1 ORDER BY v",
        "last": f"SELECT v, 0 FROM (SELECT v, {number('ORDER BY v DESC')} AS n FROM t) WHERE n = 1 ORDER BY v",
        "distinct": f"SELECT count(*), 0 FROM (SELECT DISTINCT {partition} FROM t)",
    }[case["ask"]]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--cases", type=int, default=300)
    arguments.add_argument("--seed", type=int, default=1)
    arguments = arguments.parse_args()
    rng = random.Random(arguments.seed)
    con = duckdb.connect()
    columns = ", ".join(f"{name} {data_type}" for name, data_type in TYPES.items())
    for _ in range(arguments.cases):
        case = over(rng) if rng.random() < 0.7 else ranked(rng)
        case["table"] = table(rng, rng.choice([0, 1, 3, 8, 20]))
        con.execute(f"CREATE OR REPLACE TABLE t ({columns}, v BIGINT)")
        if case["table"]:
            rows = [row + [number] for number, row in enumerate(case["table"])]
            con.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
        text = lambda x: x if x is None or isinstance(x, str) else repr(x)
        found = con.execute(sql_over(case) if case["ask"] == "over" else sql_ranked(case)).fetchall()
        case["expected"] = [[v, text(x)] for v, x in found]
        print(json.dumps(case, separators=(",", ":")))


main()
