"""Runs river's forecasters on the hourly series of the M4 competition, beside main.go: each learns value by value and foresees 48 hours once.

    pip install river==0.26.1
    python3 test/bench/forecast/peers.py DATA/forecast/m4_hourly.csv.gz [EVERY]

EVERY = 6 takes every sixth series only (default 1: all). sMAPE and MASE are the competition's, with season 24.
"""
import csv
import gzip
import sys
import time

from river import linear_model, optim, preprocessing, time_series

every = int(sys.argv[2]) if len(sys.argv) > 2 else 1
series, last = [], None
with gzip.open(sys.argv[1], "rt") as f:
    for row in csv.DictReader(f):
        if row["series"] != last:
            series.append(([], []))
            last = row["series"]
        series[-1][row["split"] == "test"].append(float(row["value"]))
series = series[::every]

models = {
    "HoltWinters(alpha=0.3, beta=0.1, gamma=0.6, seasonality=24), its example's": lambda: time_series.HoltWinters(alpha=0.3, beta=0.1, gamma=0.6, seasonality=24),
    "HoltWinters(alpha=0.05, beta=0.01, gamma=0.3, seasonality=24)": lambda: time_series.HoltWinters(alpha=0.05, beta=0.01, gamma=0.3, seasonality=24),
    "HoltWinters(alpha=0.05, beta=0.01, gamma=0.3, seasonality=168)": lambda: time_series.HoltWinters(alpha=0.05, beta=0.01, gamma=0.3, seasonality=168),
    "SNARIMAX(p=3, sp=2, sd=1, m=24), scaled linear regression": lambda: time_series.SNARIMAX(
        p=3, d=0, q=0, sp=2, sd=1, sq=0, m=24, regressor=preprocessing.StandardScaler() | linear_model.LinearRegression(intercept_init=0, optimizer=optim.SGD(0.01), intercept_lr=0.3)),
}
for name, make in models.items():
    smape = mase = failed = 0.0
    began = time.time()
    for train, test in series:
        m = make()
        for y in train:
            m.learn_one(y)
        p = m.forecast(horizon=len(test))
        if not all(abs(v) < 1e100 for v in p):
            failed += 1
            continue
        unit = sum(abs(a - b) for a, b in zip(train[24:], train)) / (len(train) - 24)
        smape += sum(200 * abs(y - v) / (abs(y) + abs(v)) for y, v in zip(test, p) if y or v) / len(test)
        mase += sum(abs(y - v) for y, v in zip(test, p)) / len(test) / unit
    n = max(len(series) - failed, 1)
    print(f"{name}: sMAPE {smape / n:.3f}, MASE {mase / n:.3f}, {failed:.0f} of {len(series)} not finite, {time.time() - began:.1f} s", flush=True)
