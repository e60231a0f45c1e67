#!/usr/bin/env python3
"""Computes the features of transactions by SQL, with DuckDB, and scores with XGBoost, and compares.

    python3 -m venv .venv && .venv/bin/pip install -r requirements.txt

The golden files of this folder, which `tests/features.rs` reads:

    cargo run -p fraud-detection -- generate --transactions 6000 --cards 20 --terminals 15 --days 60 --seed 11 \
        --output made.parquet
    .venv/bin/python recompute.py coarsen made.parquet sample.parquet
    .venv/bin/python recompute.py features sample.parquet sample-features.parquet
    .venv/bin/python recompute.py scores ../model/fraud.json sample-features.parquet

A new model changes the scores, so the last command is run again. The same for a million transactions, by hand; it prints how far values are apart, and fails where that is too much:

    cargo run --release -p fraud-detection -- generate --transactions 1000000 --output made.parquet
    .venv/bin/python recompute.py coarsen made.parquet transactions.parquet
    cargo run --release -p fraud-detection -- --input transactions.parquet --features features.parquet --json
    .venv/bin/python recompute.py compare transactions.parquet features.parquet
    .venv/bin/python recompute.py compare-scores ../model/fraud.json features.parquet

`coarsen` sets clocks back to full half hours, so that many transactions of a card fall on one time and many lie
exactly one window apart. It calls some more of them frauds, forgets some labels, and makes some amounts unusual.
"""

import sys

import duckdb
import numpy
import pyarrow
import pyarrow.parquet
import query
import xgboost

# Values that are compared as they are; all others may be apart by this, relatively.
EXACT = ("transaction_id", "event_time", "amount", "is_", "card_count", "card_max", "terminal_count", "previous_seconds")
APART_MAX = 1e-9
# Scores, which XGBoost computes in float32.
SCORES_APART_MAX = 4e-7


def sql(path):
    """Every feature and which rules are broken, in order."""
    return f"""
        SELECT * EXCLUDE (amount_cents),
            amount_cents > 22000 AS amount_over_220,
            amount_cents * card_count_30d > 5 * round(card_sum_30d * 100) AND card_count_30d >= 6
                AS amount_over_5_times_card_avg_30d,
            coalesce(previous_km_per_hour > 200 OR (previous_seconds = 0 AND previous_km > 0), false) AS implausible_speed
        FROM ({query.features(path)}) ORDER BY event_time, transaction_id
    """


def write(connection, query, path):
    connection.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")


def coarsen(connection, source, target):
    coarse = f"""
        SELECT * REPLACE (
            time_bucket(INTERVAL '30 minutes', event_time) AS event_time,
            amount_cents * CASE WHEN transaction_id % 211 = 7 THEN 9 ELSE 1 END AS amount_cents,
            CASE WHEN transaction_id % 97 <> 0 THEN is_fraud OR transaction_id % 11 = 3 END AS is_fraud,
            CASE WHEN transaction_id % 97 <> 0 THEN fraud_scenario END AS fraud_scenario
        ) FROM '{source}' ORDER BY event_time, transaction_id
    """
    write(connection, coarse, target)


def compare(connection, source, features):
    connection.execute(f"CREATE TABLE wanted AS {sql(source)}")
    connection.execute(f"CREATE TABLE got AS SELECT * FROM '{features}'")
    names = [name for (name, *_) in connection.execute("DESCRIBE got").fetchall() if name != "score"]
    rows = [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("wanted", "got")]
    assert rows[0] == rows[1], f"{rows[1]} rows, and not {rows[0]}"
    order = "SELECT transaction_id FROM got"
    same_order = connection.execute(
        f"SELECT count(*) FROM ({order}) a POSITIONAL JOIN (SELECT transaction_id AS other FROM wanted) b "
        "WHERE transaction_id <> other"
    ).fetchone()[0]
    assert same_order == 0, f"{same_order} rows stand in another place"
    failed = []
    for name in names:
        one, other = f'w."{name}"', f'g."{name}"'
        # Times are no numbers; how far they are apart does not matter where none may be.
        apart = "0::DOUBLE" if name == "event_time" else (
            f"max(abs({one}::DOUBLE - {other}::DOUBLE) / greatest(abs({one}::DOUBLE), 1e-300))"
        )
        differ, nulls, apart = connection.execute(f"""
            SELECT count(*) FILTER (WHERE {one} IS DISTINCT FROM {other}),
                count(*) FILTER (WHERE ({one} IS NULL) <> ({other} IS NULL)),
                coalesce({apart}, 0)
            FROM wanted w JOIN got g ON w.transaction_id = g.transaction_id
        """).fetchone()
        right = nulls == 0 and (differ == 0 if name.startswith(EXACT) else apart <= APART_MAX)
        failed += [] if right else [name]
        print(f"{name:24} {differ:10} differ, by {apart:.2e} at most{'' if right else '   WRONG'}")
    equal_times = connection.execute(f"""
        SELECT count(*) FROM (SELECT count(*) OVER (PARTITION BY card_id, event_time) AS n FROM '{source}') WHERE n > 1
    """).fetchone()[0]
    print(f"{rows[0]} rows, of which {equal_times} share card and time with another")
    assert not failed, f"wrong: {', '.join(failed)}"


def scores(model, rows):
    """What XGBoost says of rows with features, as it reads the model's file itself."""
    booster = xgboost.Booster(model_file=model)
    columns = [rows.column(name).to_numpy().astype(numpy.float32) for name in booster.feature_names]
    matrix = xgboost.DMatrix(numpy.stack(columns, axis=1), feature_names=booster.feature_names)
    return booster.predict(matrix).astype(numpy.float64)


def add_scores(model, path):
    rows = pyarrow.parquet.read_table(path)
    if "score" in rows.column_names:
        rows = rows.drop_columns("score")
    rows = rows.append_column("score", pyarrow.array(scores(model, rows)))
    pyarrow.parquet.write_table(rows, path, compression="zstd")


def compare_scores(model, path):
    rows = pyarrow.parquet.read_table(path)
    wanted, got = scores(model, rows), rows.column("score").to_numpy()
    apart = float(numpy.max(numpy.abs(got - wanted) / wanted))
    print(f"{len(got)} scores, {len(numpy.unique(got))} different, apart by {apart:.2e} at most")
    assert apart <= SCORES_APART_MAX


def main(command, *paths):
    connection = duckdb.connect(config={"threads": 2})
    connection.execute("SET TimeZone = 'UTC'")
    if command == "coarsen":
        coarsen(connection, *paths)
    elif command == "features":
        write(connection, sql(paths[0]), paths[1])
    elif command == "compare":
        compare(connection, *paths)
    elif command == "scores":
        add_scores(*paths)
    elif command == "compare-scores":
        compare_scores(*paths)
    else:
        sys.exit(f"unknown command {command}: coarsen, features, scores, compare or compare-scores")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
