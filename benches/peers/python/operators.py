#!/usr/bin/env python3
"""A peer's side of `cargo xtask bench operators`: requests and answers, one JSON object a line.

    operators.py duckdb | polars-streaming | polars-in-memory | datafusion

Tables are read from Arrow IPC files and put into the form that the peer is fastest on before any clock
runs: DuckDB's own tables, Polars frames in one chunk, DataFusion's in-memory tables with a partition for
each thread.  A run starts with the query as text and ends with its whole result in memory.
"""

import json
import os
import pathlib
import sys
import time
import warnings


class DuckDB:
    def __init__(self, threads):
        import duckdb

        self.version = duckdb.__version__
        # Order is not part of these results, and keeping it costs DuckDB time.
        self.connection = duckdb.connect(config={"threads": threads, "preserve_insertion_order": False})

    def add(self, name, table, threads):
        self.connection.register("incoming", table)
        self.connection.execute(f"CREATE TABLE {name} AS SELECT * FROM incoming")
        self.connection.unregister("incoming")

    def run(self, query):
        return self.connection.sql(query["sql"]).to_arrow_table()

    def batches(self, result):
        return result.schema, result.to_batches()


class Polars:
    def __init__(self, threads, engine):
        # Polars reads its number of threads when it is loaded.
        os.environ["POLARS_MAX_THREADS"] = str(threads)
        import polars

        assert polars.thread_pool_size() == threads
        self.version = polars.__version__
        self.engine = engine
        self.names = {"pl": polars}
        # The tables are in order of time, which Polars says that it cannot check.
        warnings.filterwarnings("ignore", message="Sortedness of columns cannot be checked")

    def add(self, name, table, threads):
        self.names[name] = self.names["pl"].from_arrow(table).rechunk().lazy()

    def run(self, query):
        return eval(query["polars"], dict(self.names)).collect(engine=self.engine)

    def batches(self, result):
        table = result.to_arrow()
        return table.schema, table.to_batches()


class DataFusion:
    def __init__(self, threads):
        import datafusion

        self.version = datafusion.__version__
        config = datafusion.SessionConfig().with_target_partitions(threads)
        self.context = datafusion.SessionContext(config)

    def add(self, name, table, threads):
        batches = table.to_batches()
        each = -(-len(batches) // threads)
        parts = [batches[i : i + each] for i in range(0, len(batches), each)]
        self.context.register_record_batches(name, parts)

    def run(self, query):
        return self.context.sql(query["sql"]).collect()

    def batches(self, result):
        return result[0].schema if result else None, result


PEERS = {
    "duckdb": DuckDB,
    "polars-streaming": lambda threads: Polars(threads, "streaming"),
    "polars-in-memory": lambda threads: Polars(threads, "in-memory"),
    "datafusion": DataFusion,
}


class Process:
    def __init__(self, name):
        self.name = name

    def open(self, request):
        self.threads = request["threads"]
        self.folder = pathlib.Path(request["folder"])
        self.peer = PEERS[self.name](self.threads)
        self.loaded = set()
        return {"version": self.peer.version}

    def prepare(self, request):
        import pyarrow

        for table in request["tables"]:
            if table not in self.loaded:
                with pyarrow.OSFile(str(self.folder / f"{table}.arrow")) as file:
                    self.peer.add(table, pyarrow.ipc.open_file(file).read_all(), self.threads)
                self.loaded.add(table)
        self.query = request
        seconds, result = self.timed()
        schema, batches = self.peer.batches(result)
        with pyarrow.OSFile(request["result"], "wb") as file:
            with pyarrow.ipc.new_file(file, schema or pyarrow.schema([])) as writer:
                for batch in batches:
                    writer.write_batch(batch)
        return {"seconds": seconds}

    def run(self, _request):
        return {"seconds": self.timed()[0]}

    def timed(self):
        start = time.perf_counter()
        result = self.peer.run(self.query)
        return time.perf_counter() - start, result


def main():
    process = Process(sys.argv[1])
    answers = {"open": process.open, "prepare": process.prepare, "run": process.run}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = answers[request["do"]](request)
        except Exception as error:  # the other side reports it and goes on
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
