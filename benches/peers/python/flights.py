#!/usr/bin/env python3
"""Times peers on what examples/flight-delays computes: windows of three hours, and the ranking of each day.

    python3 -m venv .venv && .venv/bin/pip install -r examples/flight-delays/golden/requirements.txt
    .venv/bin/python benches/peers/python/flights.py <path of flights-3m.parquet> [--threads 2]

A run starts with the paths and ends with both outputs, in order, as Arrow tables in memory: decoding is
included, starting the interpreter is not.  Each peer computes them in the fastest way that we know for it
(examples/flight-delays/golden/results.py): it reads the file once, counts flights by hour, and puts hours
together.  Each has a process of its own, runs twice unmeasured, then `--runs` times.  Every run reads the
files again, from the page cache.  Prints one JSON object; each peer states rows and checksums of its outputs,
which must equal the golden of the input where there is one, and those of the other peers.
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

import pyarrow.parquet as pq

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
GOLDEN = REPOSITORY / "examples" / "flight-delays" / "golden"
sys.path.insert(0, str(GOLDEN))
sys.dont_write_bytecode = True

import results  # noqa: E402  (the folder is known only now)

AIRPORTS = GOLDEN.parent / "data" / "airports.csv"
PEERS = ("duckdb", "polars-streaming", "polars-in-memory")


def prepare(peer, path, threads):
    """The version of the peer, and a function that does one run and gives the result."""
    if peer == "duckdb":
        import duckdb

        connection = duckdb.connect(config={"threads": threads})
        return duckdb.__version__, lambda: results.by_duckdb(path, AIRPORTS, connection)
    # Polars reads its number of threads when it is loaded.
    os.environ["POLARS_MAX_THREADS"] = str(threads)
    import polars

    assert polars.thread_pool_size() == threads
    return polars.__version__, lambda: results.by_polars(path, AIRPORTS, peer.removeprefix("polars-"))


def outputs(tables):
    """Rows and checksums of both outputs by name, as they stand in the goldens."""
    typed = {name: results.typed(name, table) for name, table in zip(results.SCHEMAS, tables)}
    return {
        name: {
            "rows": table.num_rows,
            "sha256": results.checksum(table),
            f"{name}_csv_sha256": results.csv_checksum(table),
        }
        for name, table in typed.items()
    }


def golden(path):
    """What the outputs of this input must be, if it is one that is known."""
    file = GOLDEN / f"{pathlib.Path(path).stem}.json"
    if not file.exists():
        return None
    known = json.loads(file.read_text())
    keys = {name: ("rows", "sha256", f"{name}_csv_sha256") for name in results.SCHEMAS}
    return {name: {key: known[name][key] for key in keys[name]} for name in results.SCHEMAS}


def measure(peer, path, threads, runs, warm_up):
    version, run = prepare(peer, path, threads)
    for _ in range(warm_up):
        tables = run()
    seconds = []
    for _ in range(runs):
        tables = None
        start = time.perf_counter()
        tables = run()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # before the checksums' own memory
    input_rows = pq.ParquetFile(path).metadata.num_rows
    of_both = outputs(tables)
    wanted = golden(path) or of_both
    assert of_both == wanted, f"{peer} computes {of_both}, and it should be {wanted}"
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
        **of_both,
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
    same = all(peer[name] == peers[0][name] for peer in peers for name in results.SCHEMAS)
    assert same, f"the peers' results differ: {peers}"
    machine = {"cpus": os.cpu_count(), "load_before": load_before, "machine": platform.machine()}
    path = pathlib.Path(options.input)
    report = {"input": path.name, "input_bytes": path.stat().st_size, **machine, "peers": peers}
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
