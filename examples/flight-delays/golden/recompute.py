#!/usr/bin/env python3
"""Writes the golden files of this folder from an input, or checks them.

    python3 -m venv .venv && .venv/bin/pip install -r requirements.txt
    .venv/bin/python recompute.py ../data/flights-200k.parquet <path of flights-3m.parquet>
    .venv/bin/python recompute.py --check ../data/flights-200k.parquet

Three computations (see results.py) must agree on every row, or nothing is written. For an input NAME.parquet:

    NAME.json               of both outputs: rows, the SHA-256 of all rows as text (see `lines` and `checksum`
                            in results.py) and as a CSV file, the first and the last rows
    NAME-windows.parquet    the rows themselves, where they are few enough to travel with the repository
    NAME-ranking.parquet
"""

import json
import pathlib
import sys

import duckdb
import pyarrow.parquet as pq

import results

HERE = pathlib.Path(__file__).parent
AIRPORTS = HERE.parent / "data" / "airports.csv"
ROWS_IN_REPOSITORY_MAX = 50_000


def summary(name, table):
    rows = list(results.lines(table))
    return {
        "rows": len(rows),
        "sha256": results.checksum(table),
        f"{name}_csv_sha256": results.csv_checksum(table),
        "first": rows[:5],
        "last": rows[-5:],
    }


def computed(path):
    """Both outputs by name, once all computations agree."""
    connection = duckdb.connect(config={"threads": 2})
    ways = {
        "plain SQL": results.plainly(path, AIRPORTS),
        "DuckDB": results.by_duckdb(path, AIRPORTS, connection),
        "Polars, streaming": results.by_polars(path, AIRPORTS, "streaming"),
        "Polars, in memory": results.by_polars(path, AIRPORTS, "in-memory"),
    }
    tables = {}
    for at, name in enumerate(results.SCHEMAS):
        found = {way: results.typed(name, outputs[at]) for way, outputs in ways.items()}
        tables[name] = found["plain SQL"]
        for way, table in found.items():
            assert list(results.lines(table)) == list(results.lines(tables[name])), f"{path}: {name} by {way}"
    return tables


def main(check, paths):
    for path in map(pathlib.Path, paths):
        tables = computed(path)
        input_rows = pq.ParquetFile(path).metadata.num_rows
        of_both = {name: summary(name, table) for name, table in tables.items()}
        text = json.dumps({"input": path.name, "input_rows": input_rows, **of_both}, indent=2) + "\n"
        target = HERE / f"{path.stem}.json"
        if check:
            assert target.read_text() == text, f"{target.name} does not follow from {path}"
        else:
            target.write_text(text)
        for name, table in tables.items():
            rows = HERE / f"{path.stem}-{name}.parquet"
            if table.num_rows > ROWS_IN_REPOSITORY_MAX:
                continue
            if check:
                assert pq.read_table(rows).equals(table), f"{rows.name} does not follow from {path}"
            else:
                pq.write_table(table, rows, compression="zstd", compression_level=19)
        counts = ", ".join(f"{table.num_rows} rows of {name}" for name, table in tables.items())
        print(f"{path.name}: {counts}, all ways agree, {'checked' if check else 'written'}")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if not [a for a in arguments if a != "--check"]:
        sys.exit(__doc__)
    main("--check" in arguments, [a for a in arguments if a != "--check"])
