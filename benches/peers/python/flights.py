#!/usr/bin/env python3
"""Times peers on the query of examples/flight-delays: hourly windows by origin, ordered.

    python3 -m venv .venv && .venv/bin/pip install -r examples/flight-delays/golden/requirements.txt
    .venv/bin/python benches/peers/python/flights.py <path of flights-3m.parquet> [--threads 2]

A run starts with the path and ends with the ordered result as an Arrow table in memory: decoding is
included, starting the interpreter is not.  Each peer has a process of its own, runs twice unmeasured,
then `--runs` times.  Every run reads the file again, from the page cache.  Prints one JSON object; each
peer states rows and checksum of its result, so that figures of unequal work cannot stand side by side.
"""

import argparse
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(REPOSITORY / "examples" / "flight-delays" / "golden"))
sys.dont_write_bytecode = True

import hourly  # noqa: E402  (the folder is known only now)

PEERS = ("duckdb", "polars-streaming", "polars-in-memory")


def prepare(peer, path, threads):
    """The version of the peer, and a function that does one run and gives the result."""
    if peer == "duckdb":
        import duckdb

        connection = duckdb.connect(config={"threads": threads})
        return duckdb.__version__, lambda: hourly.by_duckdb(path, connection=connection)
    # Polars reads its number of threads when it is loaded.
    os.environ["POLARS_MAX_THREADS"] = str(threads)
    import polars

    assert polars.thread_pool_size() == threads
    return polars.__version__, lambda: hourly.by_polars(path, peer.removeprefix("polars-"))


def measure(peer, path, threads, runs, warm_up):
    version, run = prepare(peer, path, threads)
    for _ in range(warm_up):
        table = run()
    seconds = []
    for _ in range(runs):
        table = None
        start = time.perf_counter()
        table = run()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # before the checksum's own memory
    input_rows = sum(table["flights"].to_pylist())
    return {
        "peer": peer,
        "version": version,
        "threads": threads,
        "runs": runs,
        "seconds_median": statistics.median(seconds),
        "seconds_min": min(seconds),
        "seconds_max": max(seconds),
        "input_rows": input_rows,
        "rows_per_second": round(input_rows / statistics.median(seconds)),
        "rows": table.num_rows,
        "sha256": hourly.checksum(table),
        "peak_memory_bytes": peak,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("input")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--peer", choices=PEERS, help="this peer only, in this process")
    options = parser.parse_args()
    if options.runs < 1 or options.warm_up < 1 or options.threads < 1:
        parser.error("--runs, --warm-up and --threads must be at least 1")
    if options.peer:
        print(json.dumps(measure(options.peer, options.input, options.threads, options.runs, options.warm_up)))
        return
    peers, load_before = [], os.getloadavg()[0]
    for peer in PEERS:
        command = [sys.executable, __file__, *sys.argv[1:], "--peer", peer]
        peers.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
    assert len({peer["sha256"] for peer in peers}) == 1, f"the peers' results differ: {peers}"
    machine = {"cpus": os.cpu_count(), "load_before": load_before, "machine": platform.machine()}
    path = pathlib.Path(options.input)
    report = {"input": path.name, "input_bytes": path.stat().st_size, **machine, "peers": peers}
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
