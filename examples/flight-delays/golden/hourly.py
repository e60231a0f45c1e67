"""The hourly windows of the flights, computed twice without Sabot: by DuckDB and by Polars.

One row for each hour and origin with at least one flight, in order of (window_start, origin):

    window_start, window_end    microseconds since 1970-01-01T00:00:00Z; the end is exclusive
    origin                      text, ordered by its UTF-8 bytes
    flights                     rows
    average_delay               sum of `delay` as an integer, divided by `flights` in f64
    share_late                  rows with `delay` > 15, divided by `flights` in f64

Times in the file have no zone; they are read as UTC.  Both divisions round once, so that every correct
computation gives the same bits.
"""

import datetime
import hashlib
import struct

import pyarrow as pa

EPOCH = datetime.datetime(1970, 1, 1)

DUCKDB_QUERY = """
    SELECT date_trunc('hour', date) AS window_start,
           date_trunc('hour', date) + INTERVAL 1 HOUR AS window_end,
           origin,
           count(*) AS flights,
           sum(delay)::DOUBLE / count(*) AS average_delay,
           count(*) FILTER (delay > 15)::DOUBLE / count(*) AS share_late
    FROM read_parquet(?)
    GROUP BY ALL
    ORDER BY window_start, origin
"""


def by_duckdb(path, threads=2, connection=None):
    import duckdb

    connection = connection or duckdb.connect(config={"threads": threads})
    return connection.sql(DUCKDB_QUERY, params=[str(path)]).to_arrow_table()


def by_polars(path, engine="streaming"):
    import polars as pl

    start = pl.col("date").dt.truncate("1h").alias("window_start")
    late = (pl.col("delay") > 15).sum().cast(pl.Float64)
    return (
        pl.scan_parquet(path)
        .group_by(start, "origin")
        .agg(
            pl.len().cast(pl.Int64).alias("flights"),
            (pl.col("delay").sum().cast(pl.Float64) / pl.len()).alias("average_delay"),
            (late / pl.len()).alias("share_late"),
        )
        .with_columns((pl.col("window_start") + pl.duration(hours=1)).alias("window_end"))
        .select("window_start", "window_end", "origin", "flights", "average_delay", "share_late")
        .sort("window_start", "origin")
        .collect(engine=engine)
        .to_arrow()
    )


SCHEMA = pa.schema(
    [
        ("window_start", pa.timestamp("us")),
        ("window_end", pa.timestamp("us")),
        ("origin", pa.string()),
        ("flights", pa.int64()),
        ("average_delay", pa.float64()),
        ("share_late", pa.float64()),
    ]
)


def columns(table):
    """The six columns as Python lists, times as integers."""
    table = table.cast(SCHEMA)
    times = [table[i].cast(pa.int64()).to_pylist() for i in range(2)]
    return times + [table[i].to_pylist() for i in range(2, 6)]


def bits(value):
    """The bits of an f64 as 16 hexadecimal digits: no question of how a float is printed."""
    return struct.pack(">d", value).hex()


def lines(table):
    """The rows as text, without line ends: `start,end,origin,flights,bits,bits`."""
    for start, end, origin, flights, average, share in zip(*columns(table)):
        yield f"{start},{end},{origin},{flights},{bits(average)},{bits(share)}"


def checksum(table):
    """SHA-256 over the lines, each followed by one line feed, the last one too; no header."""
    digest = hashlib.sha256()
    for line in lines(table):
        digest.update(line.encode())
        digest.update(b"\n")
    return digest.hexdigest()


def csv_checksum(table):
    """SHA-256 over the rows as a CSV file with a header: times in ISO 8601 without zone, floats with as
    few digits as tell them from all others.  No value here is so large or small that its text would
    need an exponent, about which printers disagree."""
    digest = hashlib.sha256((",".join(SCHEMA.names) + "\n").encode())
    times = {}
    for start, end, *rest in zip(*columns(table)):
        for time in (start, end):
            if time not in times:
                times[time] = (EPOCH + datetime.timedelta(microseconds=time)).isoformat()
        digest.update(f"{times[start]},{times[end]},{','.join(map(str, rest))}\n".encode())
    return digest.hexdigest()


def worst(table, count=10, flights_min=10):
    """The windows with the highest average delay, as lines: at least `flights_min` flights, ties in
    order of (window_start, origin)."""
    rows = [row for row in zip(*columns(table)) if row[3] >= flights_min]
    rows.sort(key=lambda row: (-row[4], row[0], row[2]))
    return [f"{s},{e},{o},{n},{bits(a)},{bits(l)}" for s, e, o, n, a, l in rows[:count]]
