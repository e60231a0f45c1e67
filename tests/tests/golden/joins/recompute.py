"""Random joins and what DuckDB makes of them.

    python3 -m venv .venv && .venv/bin/pip install -r requirements.txt
    .venv/bin/python recompute.py --cases 300 > cases.ndjson       # what stands here
    .venv/bin/python recompute.py --cases 10000 --seed 7 > .venv/cases.ndjson
    SABOT_JOIN_CASES=$PWD/.venv/cases.ndjson cargo test -p sabot-tests --test golden joins

One case a line. Tables have nulls, NaN, -0.0 and duplicates. Rows are known by their numbers (lv, rv),
so a result is a list of numbers; floats are text, because JSON has no NaN.
"""

import argparse
import json
import random

import duckdb

KINDS = ["inner", "left", "right", "full", "semi", "anti"]
KEYS = {"k": "BIGINT", "f": "DOUBLE", "s": "VARCHAR"}
VALUES = {
    "k": [None, 0, 1, 2, 3],
    "f": [None, "NaN", "0.0", "-0.0", "1.5", "-2.25"],
    "s": [None, "", "a", "b", "SFO"],
}
CONDITIONS = {
    "": "",
    "less": "lv < rv",
    "sum": "lk + rv > 4",
    "differ": "ls <> rs",
    "greater": "lf > rf",
    "either": "lk = 1 OR rs IS NULL",
}


def table(rng, rows, side):
    names = list(KEYS)
    # Few different values, so that most rows match something.
    pools = {name: rng.sample(VALUES[name], rng.randint(1, len(VALUES[name]))) for name in names}
    times = rng.sample(range(60), rows)
    return [[rng.choice(pools[n]) for n in names] + [times[i], i] for i in range(rows)]


def load(con, name, side, rows):
    columns = ", ".join(f"{side}{n} {t}" for n, t in KEYS.items())
    con.execute(f"CREATE OR REPLACE TABLE {name} ({columns}, {side}t BIGINT, {side}v BIGINT)")
    if rows:
        con.executemany(f"INSERT INTO {name} VALUES (?, ?, ?, ?, ?)", rows)


def query(case):
    kind, keys = case["kind"], case["keys"]
    equal = [f"l{key} = r{key}" for key in keys]
    if case["asof"]:
        sign = ">=" if case["asof"] == "backward" else "<="
        how = "LEFT" if kind == "left" else ""
        on = " AND ".join(equal + [f"lt {sign} rt"])
        return f"SELECT lv, rv FROM l ASOF {how} JOIN r ON {on}"
    condition = CONDITIONS[case["condition"]]
    on = " AND ".join(equal + ([f"({condition})"] if condition else [])) or "true"
    if kind in ("semi", "anti"):
        no = "" if kind == "semi" else "NOT "
        return f"SELECT lv FROM l WHERE {no}EXISTS (SELECT 1 FROM r WHERE {on})"
    return f"SELECT lv, rv FROM l {kind} JOIN r ON {on}"


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--cases", type=int, default=300)
    arguments.add_argument("--seed", type=int, default=1)
    arguments = arguments.parse_args()
    rng = random.Random(arguments.seed)
    con = duckdb.connect()
    for _ in range(arguments.cases):
        asof = rng.choice(["backward", "forward"]) if rng.random() < 0.15 else ""
        keys = rng.sample(list(KEYS), rng.choices([0, 1, 2, 3], [1, 6, 3, 1])[0])
        if asof and not keys:
            keys = ["k"]
        case = {
            "kind": rng.choice(["inner", "left"] if asof else KINDS),
            "keys": keys,
            "asof": asof,
            "condition": "" if asof or (keys and rng.random() < 0.5) else rng.choice(list(CONDITIONS)),
            "left": table(rng, rng.choice([0, 1, 3, 6, 9]), "l"),
            "right": table(rng, rng.choice([0, 1, 3, 6, 9]), "r"),
        }
        load(con, "l", "l", case["left"])
        load(con, "r", "r", case["right"])
        rows = con.execute(query(case)).fetchall()
        none = -1
        case["expected"] = sorted([none if v is None else v for v in row] for row in rows)
        print(json.dumps(case, separators=(",", ":")))


main()
