"""What other libraries do on the same device, in the same run: a copy, a mask, a sum, counts by key."""
import json
import time


def best(run, synchronize):
    times = []
    for _ in range(6):
        synchronize()
        since = time.perf_counter()
        run()
        synchronize()
        times.append(time.perf_counter() - since)
    return min(times[1:])


ROWS = 1 << 26
found = {}
try:
    import torch

    x = torch.randint(0, 1000, (ROWS,), device="cuda", dtype=torch.int64)
    y = torch.empty_like(x)
    found["torch"] = {
        "copy_bytes_per_s": 16 * ROWS / best(lambda: y.copy_(x), torch.cuda.synchronize),
        "sum_rows_per_s": ROWS / best(lambda: x.sum(), torch.cuda.synchronize),
        "mask_rows_per_s": ROWS / best(lambda: x[x > 500], torch.cuda.synchronize),
        "bincount_1000_rows_per_s": ROWS / best(lambda: torch.bincount(x, minlength=1000), torch.cuda.synchronize),
    }
except Exception as error:
    found["torch"] = str(error)
try:
    import cupy

    x = cupy.random.randint(0, 1000, ROWS, dtype=cupy.int64)
    device = cupy.cuda.Device()
    found["cupy"] = {
        "sum_rows_per_s": ROWS / best(lambda: x.sum(), device.synchronize),
        "mask_rows_per_s": ROWS / best(lambda: x[x > 500], device.synchronize),
    }
except Exception as error:
    found["cupy"] = str(error)
print(json.dumps(found, indent=2))
