"""Puts what run.sh has left in parts together: results.json, and results.md for docs/gpu-results.md."""
import glob
import json
import os
import sys

date, driver, commit = sys.argv[1:4]


def read(path):
    with open(path) as file:
        return file.read().strip()


checks = {os.path.basename(p)[:-4]: read(p) for p in sorted(glob.glob("parts/*.end"))}
said = {os.path.basename(p)[:-5]: read(p).splitlines() for p in sorted(glob.glob("parts/*.said"))}
kernels = {p[len("parts/kernels-"):-5]: json.loads(read(p)) for p in sorted(glob.glob("parts/kernels-*.json"))}
baselines = json.loads(read("parts/baselines.json")) if os.path.exists("parts/baselines.json") else None
flights = {p[len("parts/flights-"):-5]: read(p) for p in sorted(glob.glob("parts/flights-*.json"))}
flights = {name: json.loads(text) for name, text in flights.items() if text}
results = {"date": date, "driver": driver, "commit": commit, "checks": checks, "said": said, "kernels": kernels}
results |= {"baselines": baselines, "flights": flights}
with open("results.json", "w") as file:
    json.dump(results, file, indent=2)
lines = [f"{driver}, {date}, commit {commit}", "", "| check | |", "|---|---|"]
lines += [f"| {name} | {end} {'; '.join(said.get(name, []))} |" for name, end in checks.items()]
for name, found in kernels.items():
    lines += ["", f"{name}: {found['about']}", "", "| | |", "|---|---:|"]
    lines += [f"| {what} | {found[what]:.4g} |" for what in found if what.endswith("_s") or what.endswith("_us")]
    lines += ["", "| kernel | G rows/s | GB/s of its floor | share of the memory's rate |", "|---|---:|---:|---:|"]
    for kernel in found["kernels"]:
        rate, floor = kernel["rows_per_s"] / 1e9, kernel["floor_bytes_per_s"] / 1e9
        lines.append(f"| {kernel['kernel']} | {rate:.2f} | {floor:.0f} | {kernel['share_of_memory_rate']:.0%} |")
if baselines:
    lines += ["", "| baseline | |", "|---|---:|"]
    for library, rates in baselines.items():
        if isinstance(rates, dict):
            lines += [f"| {library} {what} | {rate:.4g} |" for what, rate in rates.items()]
        else:
            lines.append(f"| {library} | {rates} |")
with open("results.md", "w") as file:
    file.write("\n".join(lines) + "\n")
print("results.json and results.md are written")
