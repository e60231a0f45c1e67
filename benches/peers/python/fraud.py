#!/usr/bin/env python3
"""Times a peer on the features of examples/fraud-detection: what card and terminal did before each transaction.

    fraud.py duckdb|polars FILE THREADS RUNS

Each computes them in the fastest way that we know for it. DuckDB's windows are RANGE frames, and its result is taken
batch by batch and let go, as Sabot's is. Polars rolls over the key; its frames end at the row, so that one which
ends seven days before is the difference of two, which counts allow. A run reads the file again, from the page cache;
the first one is not measured and adds up every column. Prints one JSON object.
"""

import json
import os
import pathlib
import resource
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "examples" / "fraud-detection" / "golden"))
sys.dont_write_bytecode = True

import query  # noqa: E402  (the folder is known only now)

WANTED = "* EXCLUDE (transaction_id, event_time, amount_cents)"


def duckdb_runs(path, threads):
    import duckdb

    connection = duckdb.connect(config={"threads": threads, "preserve_insertion_order": False})
    connection.execute("SET TimeZone = 'UTC'")
    text = f"SELECT {WANTED} FROM ({query.features(path)})"

    def run(check):
        if check:
            names = [name for (name, *_) in connection.execute(f"DESCRIBE {text}").fetchall()]
            sums = ", ".join(f"count({n}), coalesce(sum({n}::DOUBLE), 0)" for n in names)
            found = connection.execute(f"SELECT count(*), {sums} FROM ({text})").fetchone()
            return found[0], dict(zip(names, zip(found[1::2], found[2::2])))
        rows = 0
        # A connection of its own: one whose last result is not looked at to its end takes no further query.
        for batch in connection.cursor().sql(text).to_arrow_reader(65_536):
            rows += batch.num_rows
        return rows, None

    return duckdb.__version__, run


def polars_runs(path, threads):
    # Polars reads its number of threads when it is loaded.
    os.environ["POLARS_MAX_THREADS"] = str(threads)
    import polars as pl

    def run(check):
        time_of, card, terminal = pl.col("event_time"), "card_id", "terminal_id"
        cents, one = pl.col("amount_cents"), pl.lit(1, dtype=pl.Int64)
        fraud = pl.col("is_fraud").fill_null(False).cast(pl.Int64)
        # The file is in this order; told so, Polars need not find out.
        frame = pl.scan_parquet(path).set_sorted("event_time")
        columns = [(cents / 100.0).alias("amount")]
        back = {name: f"{length // query.HOUR_US}h" for name, length in query.CARD_WINDOWS.items()}
        frame = frame.with_columns(one.alias("one"), fraud.alias("fraud"))
        for name, length in back.items():
            of = {"window_size": length, "closed": "both"}
            count = pl.col("one").rolling_sum_by(time_of, **of).over(card)
            total = cents.rolling_sum_by(time_of, **of).over(card)
            columns += [
                count.alias(f"card_count_{name}"),
                (total / 100.0).alias(f"card_sum_{name}"),
                (total / count / 100.0).alias(f"card_avg_{name}"),
                (cents.rolling_max_by(time_of, **of).over(card) / 100.0).alias(f"card_max_{name}"),
            ]
        late = query.LABEL_DELAY_US // query.DAY_US
        delay = {"window_size": f"{late}d", "closed": "right"}
        frame = frame.with_columns(
            pl.col(name).rolling_sum_by(time_of, **delay).over(terminal).alias(f"late_{name}") for name in ("one", "fraud")
        )
        for name, length in query.TERMINAL_WINDOWS.items():
            of = {"window_size": f"{late + length // query.DAY_US}d", "closed": "both"}

            def before(column):
                return pl.col(column).rolling_sum_by(time_of, **of).over(terminal) - pl.col(f"late_{column}")

            columns += [before("one").alias(f"terminal_count_{name}"), before("fraud").alias(f"terminal_risk_{name}")]
        us = time_of.dt.epoch("us")
        moved = [(pl.col(axis) - pl.col(axis).shift(1).over(card)).pow(2) for axis in ("terminal_x", "terminal_y")]
        columns += [
            ((us - us.shift(1).over(card)) / 1e6).alias("previous_seconds"),
            (moved[0] + moved[1]).sqrt().alias("previous_km"),
            (time_of.dt.hour() < 6).alias("is_night"),
            (time_of.dt.weekday() >= 6).alias("is_weekend"),
        ]
        risks = [
            pl.when(pl.col(f"terminal_count_{name}") == 0)
            .then(0.0)
            .otherwise(pl.col(f"terminal_risk_{name}") / pl.col(f"terminal_count_{name}"))
            .alias(f"terminal_risk_{name}")
            for name in query.TERMINAL_WINDOWS
        ]
        speed = pl.when(pl.col("previous_seconds") > 0).then(pl.col("previous_km") / (pl.col("previous_seconds") / 3600.0))
        frame = frame.select(columns).with_columns(*risks, speed.alias("previous_km_per_hour")).collect()
        if not check:
            return frame.height, None
        sums = {
            name: (frame.height - frame[name].null_count(), float(frame[name].cast(pl.Float64).sum()))
            for name in frame.columns
        }
        return frame.height, sums

    return pl.__version__, run


def main(peer, path, threads, runs):
    version, run = {"duckdb": duckdb_runs, "polars": polars_runs}[peer](path, int(threads))
    rows, sums = run(True)
    seconds = []
    for _ in range(int(runs)):
        start = time.perf_counter()
        again, _ = run(False)
        seconds.append(time.perf_counter() - start)
        assert again == rows, f"{again} rows, and {rows} before"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    columns = {name: {"values": values, "sum": total} for name, (values, total) in sums.items()}
    report = {"rows": rows, "seconds": seconds, "columns": columns, "peak_memory_bytes": peak}
    print(json.dumps({"name": f"{peer} {version}", **report}))


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
