#!/usr/bin/env python3
"""Cuts the sample that travels with the example: the first rows of a larger Parquet file.

The larger file is flights-3m.parquet of the npm package vega-datasets (13,493,022 bytes): domestic
flights of the first half of 2001, from the on-time statistics of the United States' Bureau of
Transportation Statistics, a work of the federal government without copyright in the United States.

    python3 -m venv .venv && .venv/bin/pip install -r ../golden/requirements.txt
    .venv/bin/python sample.py <path of flights-3m.parquet>

Schema, order and values are kept.  Eight row groups, so that the sample has something to prune; the
rows are in order of `date`, so each group covers a range of time of its own.
"""

import pathlib
import sys

import pyarrow.parquet as pq

ROWS = 200_000
ROWS_PER_GROUP = 25_000
OUTPUT = pathlib.Path(__file__).parent / "flights-200k.parquet"


def main(source: str) -> None:
    file = pq.ParquetFile(source)
    sample = next(file.iter_batches(batch_size=ROWS))
    assert sample.num_rows == ROWS, f"{source} has only {sample.num_rows} rows"
    with pq.ParquetWriter(OUTPUT, file.schema_arrow, compression="zstd", compression_level=9) as writer:
        writer.write_batch(sample, row_group_size=ROWS_PER_GROUP)
    written = pq.ParquetFile(OUTPUT)
    assert written.schema_arrow == file.schema_arrow
    assert written.read().combine_chunks().to_batches()[0].equals(sample)
    print(f"{OUTPUT.name}: {ROWS} rows, {written.num_row_groups} row groups, {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
