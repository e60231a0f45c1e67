"""The outputs of this example, computed three times without Sabot.

`plainly` counts every flight in each of its windows, by DuckDB: what the words say, and slow. `by_duckdb`
and `by_polars` count flights by hour first and put hours together, which is how one would do it in a hurry.

windows, one row for each three hours that begin on an hour and hold a flight of the origin, in order of
(window_start, origin):

    window_start, window_end    microseconds since 1970-01-01T00:00:00Z; the end is exclusive
    origin                      text, ordered by its UTF-8 bytes
    name, city                  of the airport; null where the table of airports lacks it; "NA" is text
    flights                     rows
    average_delay               sum of `delay` as an integer, divided by `flights` in f64
    share_late                  rows with `delay` > 15, divided by `flights` in f64

ranking, at most ten rows for each day, in order of (day, rank):

    day                         the date in UTC
    rank                        1 to 10: more late flights first, ties by origin
    origin, name                as above; origins without a late flight have no rank
    late_flights, flights       rows with `delay` > 15, and all

Times in the file have no zone; they are read as UTC. Divisions round once, so that every correct computation
gives the same bits.
"""

import csv
import datetime
import hashlib
import io
import struct

import pyarrow as pa

EPOCH = datetime.datetime(1970, 1, 1)
RANKS = 10

AIRPORTS = "CREATE OR REPLACE TEMP TABLE airports AS FROM read_csv(?, header = true, all_varchar = true)"

PLAIN_WINDOWS = """
    SELECT window_start,
           window_start + INTERVAL 3 HOUR AS window_end,
           origin, name, city,
           count(*) AS flights,
           sum(delay)::DOUBLE / count(*) AS average_delay,
           count(*) FILTER (delay > 15)::DOUBLE / count(*) AS share_late
    FROM (SELECT date_trunc('hour', date) - to_hours(back) AS window_start, origin, delay
          FROM read_parquet(?), (VALUES (0), (1), (2)) AS hops(back))
    LEFT JOIN airports ON origin = iata
    GROUP BY ALL
    ORDER BY window_start, origin
"""

PLAIN_RANKING = """
    SELECT day, rank, origin, name, late_flights, flights
    FROM (SELECT date::DATE AS day, origin,
                 count(*) FILTER (delay > 15) AS late_flights,
                 count(*) AS flights,
                 row_number() OVER (PARTITION BY day ORDER BY late_flights DESC, origin) AS rank
          FROM read_parquet(?)
          GROUP BY day, origin)
    LEFT JOIN airports ON origin = iata
    WHERE rank <= 10 AND late_flights > 0
    ORDER BY day, rank
"""

HOURS = """
    CREATE OR REPLACE TEMP TABLE hours AS
    SELECT date_trunc('hour', date) AS hour, origin,
           count(*) AS flights, sum(delay) AS delay, count(*) FILTER (delay > 15) AS late
    FROM read_parquet(?)
    GROUP BY ALL
"""

WINDOWS_OF_HOURS = """
    SELECT window_start, window_start + INTERVAL 3 HOUR AS window_end, origin, name, city, flights,
           delay::DOUBLE / flights AS average_delay, late::DOUBLE / flights AS share_late
    FROM (SELECT hour - to_hours(back) AS window_start, origin,
                 sum(flights)::BIGINT AS flights, sum(delay) AS delay, sum(late) AS late
          FROM hours, (VALUES (0), (1), (2)) AS hops(back)
          GROUP BY ALL)
    LEFT JOIN airports ON origin = iata
    ORDER BY window_start, origin
"""

RANKING_OF_HOURS = """
    SELECT day, rank, origin, name, late_flights, flights
    FROM (SELECT hour::DATE AS day, origin,
                 sum(late)::BIGINT AS late_flights,
                 sum(flights)::BIGINT AS flights,
                 row_number() OVER (PARTITION BY day ORDER BY late_flights DESC, origin) AS rank
          FROM hours
          GROUP BY day, origin)
    LEFT JOIN airports ON origin = iata
    WHERE rank <= 10 AND late_flights > 0
    ORDER BY day, rank
"""


def plainly(path, airports, threads=2):
    import duckdb

    connection = duckdb.connect(config={"threads": threads})
    connection.execute(AIRPORTS, [str(airports)])
    queries = PLAIN_WINDOWS, PLAIN_RANKING
    return tuple(connection.sql(query, params=[str(path)]).to_arrow_table() for query in queries)


def by_duckdb(path, airports, connection):
    connection.execute(AIRPORTS, [str(airports)])
    connection.execute(HOURS, [str(path)])
    return tuple(connection.sql(query).to_arrow_table() for query in (WINDOWS_OF_HOURS, RANKING_OF_HOURS))


def by_polars(path, airports, engine="streaming"):
    import polars as pl

    # Without types to infer all columns are text, and so is "NA".
    airports = pl.scan_csv(airports, infer_schema=False).select(pl.col("iata").alias("origin"), "name", "city")
    late = (pl.col("delay") > 15).sum().cast(pl.Int64).alias("late")
    hours = (
        pl.scan_parquet(path)
        .group_by(pl.col("date").dt.truncate("1h").alias("hour"), "origin")
        .agg(pl.len().cast(pl.Int64).alias("flights"), pl.col("delay").sum(), late)
    )
    hops = [hours.with_columns((pl.col("hour") - pl.duration(hours=back)).alias("hour")) for back in range(3)]
    windows = (
        pl.concat(hops)
        .group_by(pl.col("hour").alias("window_start"), "origin")
        .agg(pl.col("flights", "delay", "late").sum())
        .join(airports, on="origin", how="left")
        .select(
            "window_start",
            (pl.col("window_start") + pl.duration(hours=3)).alias("window_end"),
            "origin",
            "name",
            "city",
            "flights",
            (pl.col("delay").cast(pl.Float64) / pl.col("flights")).alias("average_delay"),
            (pl.col("late").cast(pl.Float64) / pl.col("flights")).alias("share_late"),
        )
        .sort("window_start", "origin")
    )
    ranking = (
        hours.group_by(pl.col("hour").dt.date().alias("day"), "origin")
        .agg(pl.col("late").sum().alias("late_flights"), pl.col("flights").sum())
        .filter(pl.col("late_flights") > 0)
        .sort("day", "late_flights", "origin", descending=[False, True, False])
        .with_columns((pl.int_range(pl.len()) + 1).over("day").alias("rank"))
        .filter(pl.col("rank") <= RANKS)
        .join(airports, on="origin", how="left")
        .select("day", "rank", "origin", "name", "late_flights", "flights")
        .sort("day", "rank")
    )
    return tuple(frame.to_arrow() for frame in pl.collect_all([windows, ranking], engine=engine))


SCHEMAS = {
    "windows": pa.schema(
        [
            ("window_start", pa.timestamp("us")),
            ("window_end", pa.timestamp("us")),
            ("origin", pa.string()),
            ("name", pa.string()),
            ("city", pa.string()),
            ("flights", pa.int64()),
            ("average_delay", pa.float64()),
            ("share_late", pa.float64()),
        ]
    ),
    "ranking": pa.schema(
        [
            ("day", pa.date32()),
            ("rank", pa.int64()),
            ("origin", pa.string()),
            ("name", pa.string()),
            ("late_flights", pa.int64()),
            ("flights", pa.int64()),
        ]
    ),
}


def typed(name, table):
    """The table in the types of its schema and in one piece, so that tables can be compared."""
    return table.cast(SCHEMAS[name]).combine_chunks()


def columns(table):
    """The columns as Python lists: times as microseconds, days as days, both since 1970."""
    for field, column in zip(table.schema, table.columns):
        if pa.types.is_timestamp(field.type):
            column = column.cast(pa.int64())
        elif pa.types.is_date(field.type):
            column = column.cast(pa.int32())
        yield column.to_pylist()


def text(value):
    """A value as text: a float as the 16 hexadecimal digits of its bits, null as \\N."""
    if value is None:
        return "\\N"
    return struct.pack(">d", value).hex() if isinstance(value, float) else str(value)


def lines(table):
    """The rows as text without line ends, values between tabs."""
    for row in zip(*columns(table)):
        yield "\t".join(map(text, row))


def checksum(table):
    """SHA-256 over the lines, each followed by one line feed, the last one too; no header."""
    digest = hashlib.sha256()
    for line in lines(table):
        digest.update(line.encode())
        digest.update(b"\n")
    return digest.hexdigest()


def csv_checksum(table):
    """SHA-256 over the rows as a CSV file with a header: times in ISO 8601 without zone, quotes only where
    they are needed, floats with as few digits as tell them from all others. No value here is so large or
    small that its text would need an exponent, about which printers disagree."""
    times = {}

    def cell(kind, value):
        if pa.types.is_timestamp(kind):
            if value not in times:
                times[value] = (EPOCH + datetime.timedelta(microseconds=value)).isoformat()
            return times[value]
        if pa.types.is_date(kind):
            return (EPOCH + datetime.timedelta(days=value)).date().isoformat()
        return value

    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(table.schema.names)
    for row in zip(*columns(table)):
        writer.writerow(map(cell, table.schema.types, row))
    return hashlib.sha256(buffer.getvalue().encode()).hexdigest()
