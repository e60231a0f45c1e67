#!/usr/bin/env python3
"""Writes the golden files of this folder from an input, or checks them.

    python3 -m venv .venv && .venv/bin/pip install -r requirements.txt
    .venv/bin/python recompute.py ../data/flights-200k.parquet <path of flights-3m.parquet>
    .venv/bin/python recompute.py --check ../data/flights-200k.parquet

DuckDB and Polars must agree on every row, or nothing is written.  For an input NAME.parquet:

    NAME.json       rows, flights, the SHA-256 of all rows as text (see `lines` and `checksum` in
                    hourly.py) and as a CSV file, the first and last rows, and the ten windows with
                    the highest average delay
    NAME.parquet    the rows themselves, where they are few enough to travel with the repository
"""

import json
import pathlib
import sys

import pyarrow.parquet as pq

import hourly

HERE = pathlib.Path(__file__).parent
ROWS_IN_REPOSITORY_MAX = 50_000


def summary(name, table):
    rows = list(hourly.lines(table))
    return {
        "input": name,
        "input_rows": sum(table["flights"].to_pylist()),
        "rows": len(rows),
        "sha256": hourly.checksum(table),
        "csv_sha256": hourly.csv_checksum(table),
        "first": rows[:5],
        "last": rows[-5:],
        "worst": hourly.worst(table),
    }


def main(check, paths):
    for path in map(pathlib.Path, paths):
        table = hourly.by_duckdb(path).cast(hourly.SCHEMA).combine_chunks()
        for engine in ("streaming", "in-memory"):
            other = hourly.by_polars(path, engine)
            assert list(hourly.lines(table)) == list(hourly.lines(other)), f"{path}: DuckDB and Polars differ"
        text = json.dumps(summary(path.name, table), indent=2) + "\n"
        target = HERE / f"{path.stem}.json"
        rows = HERE / f"{path.stem}.parquet"
        if check:
            assert target.read_text() == text, f"{target.name} does not follow from {path}"
            if table.num_rows <= ROWS_IN_REPOSITORY_MAX:
                assert pq.read_table(rows).equals(table), f"{rows.name} does not follow from {path}"
        else:
            target.write_text(text)
            if table.num_rows <= ROWS_IN_REPOSITORY_MAX:
                pq.write_table(table, rows, compression="zstd", compression_level=19)
        print(f"{path.name}: {table.num_rows} rows, DuckDB = Polars, {'checked' if check else 'written'}")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if not [a for a in arguments if a != "--check"]:
        sys.exit(__doc__)
    main("--check" in arguments, [a for a in arguments if a != "--check"])
