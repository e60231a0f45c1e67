#!/bin/sh
# Checks and measures the GPU of this machine; needs its driver, and for CUDA NVRTC (the toolkit, or nvidia-cuda-nvrtc of PyPI
# in LD_LIBRARY_PATH). Writes results.json and results.md beside itself. Whatever fails is said and does not end it.
cd "$(dirname "$0")" || exit 1
export SABOT_CUBINS="$PWD/cubins"
rm -rf parts && mkdir parts
for program in cuda-tests wgpu-tests gpu-kernels flight-delays; do
    [ -x $program ] || { gzip -d -c $program.gz >$program && chmod +x $program; }
done
date=$(date -u +%Y-%m-%d)
driver=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null || echo "no nvidia-smi")
commit=$(cat commit)

# A test is a line: its name, and how it ended.
check() {
    name=$1
    shift
    if "$@" >"parts/$name.log" 2>&1; then echo "passed"; else echo "failed"; fi >"parts/$name.end"
    grep -E "^skipped:|passed, [0-9]+ refused" "parts/$name.log" >"parts/$name.said"
    echo "$name: $(cat "parts/$name.end")"
}

check cuda-tests env SABOT_REQUIRE_CUDA=1 ./cuda-tests --nocapture
check wgpu-tests env SABOT_REQUIRE_ADAPTER=1 ./wgpu-tests --nocapture
if command -v compute-sanitizer >/dev/null; then
    check sanitizer compute-sanitizer --error-exitcode 1 ./cuda-tests --nocapture random_work
fi
for devices in cpu cuda wgpu; do
    ./flight-delays --devices $devices --input flights-200k.parquet --airports airports.csv --json \
        --windows parts/windows-$devices.csv --ranking parts/ranking-$devices.csv >parts/flights-$devices.json 2>parts/flights-$devices.log
done
for devices in cuda wgpu; do
    check flights-same-$devices cmp parts/windows-cpu.csv parts/windows-$devices.csv
    ./gpu-kernels $devices >parts/kernels-$devices.json 2>parts/kernels-$devices.log || rm -f parts/kernels-$devices.json
done
if command -v python3 >/dev/null; then
    python3 baselines.py >parts/baselines.json 2>parts/baselines.log || rm -f parts/baselines.json
    python3 report.py "$date" "$driver" "$commit"
else
    echo "results.json and results.md need python3; what was measured lies in parts"
fi
