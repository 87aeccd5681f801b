"""Writes positions.json.gz: where the detectors of river and MOA alarm and warn on streams that a test can make again.

    python3 -m venv venv && venv/bin/pip install river==0.26.1
    curl -LO https://repo1.maven.org/maven2/nz/ac/waikato/cms/moa/moa/2024.07.0/moa-2024.07.0.jar            # and a Java runtime, 17 or later
    curl -LO https://repo1.maven.org/maven2/nz/ac/waikato/cms/weka/weka-dev/3.9.2/weka-dev-3.9.2.jar
    venv/bin/python positions.py moa-2024.07.0.jar:weka-dev-3.9.2.jar | gzip -9n > positions.json.gz

Streams are drawn from the generator of Go's math/rand/v2 (PCG with the seed and 0), so that only their recipe is stored: a Bernoulli value is 1 when the next float is below p, a Gaussian one is
mean + sd * (sum of twelve floats - 6). The streams of river's own tests and examples, which come from other generators, are stored as digits. KSWIN runs with river's code and our draws.
"""
import json
import random
import subprocess
import sys

import numpy as np
import river
from river import drift
from river.drift import binary

M64, M128 = (1 << 64) - 1, (1 << 128) - 1


class PCG:
    """The PCG-DXSM generator of math/rand/v2."""

    def __init__(self, seed):
        self.state = seed << 64

    def uint64(self):
        self.state = (self.state * (2549297995355413924 << 64 | 4865540595714422341) + (6364136223846793005 << 64 | 1442695040888963407)) & M128
        hi, lo = self.state >> 64, self.state & M64
        hi ^= hi >> 32
        hi = hi * 0xDA942042E4DD58B5 & M64
        hi ^= hi >> 48
        return hi * (lo | 1) & M64

    def float(self):
        return (self.uint64() & ((1 << 53) - 1)) / (1 << 53)


class Draws:
    """Stands in for the generator of river's KSWIN."""

    def __init__(self, seed):
        self.pcg = PCG(seed)

    def sample(self, population, k):
        order = list(population)
        for i in range(k):
            j = i + (self.pcg.uint64() * (len(order) - i) >> 64)
            order[i], order[j] = order[j], order[i]
        return order[:k]


class KSWIN(drift.KSWIN):
    def _reset(self):
        super()._reset()
        self._rng = Draws(self.seed)


def values(recipe):
    if "digits" in recipe:
        return [int(c) for c in recipe["digits"]]
    rng, out = PCG(recipe["seed"]), []
    for part in recipe["parts"]:
        for _ in range(part[0]):
            if recipe["kind"] == "bernoulli":
                out.append(1 if rng.float() < part[1] else 0)
            else:
                z = -6.0
                for _ in range(12):
                    z += rng.float()
                out.append(part[1] + part[2] * z)
    return out


def streams():
    s = {}
    rates = [
        [[2000, 0.2], [2000, 0.5], [2000, 0.1]], [[2000, 0.05], [2000, 0.15], [2000, 0.4]], [[3000, 0.2], [3000, 0.3]], [[1000, 0.4], [3000, 0.1], [1000, 0.6], [1000, 0.2]],
        [[6000, 0.3]], [[500, 0.01], [5500, 0.08]], [[1500, 0.7], [1500, 0.9], [3000, 0.5]], [[1000, 0], [1000, 0.02], [1000, 0.9], [1000, 1], [2000, 0.3]],
    ]
    for i, parts in enumerate(rates):
        for seed in range(3):
            s[f"b{i}.{seed}"] = {"kind": "bernoulli", "seed": 100 * i + seed + 1, "parts": parts}
    s["long"] = {"kind": "bernoulli", "seed": 77, "parts": [[45000, 0.2], [3000, 0.26], [6000, 0.5], [6000, 0.1]]}
    levels = [
        [[1000, 0.5, 0.1], [1000, 0.7, 0.1], [1000, 0.45, 0.1]], [[2000, 0.5, 0.1], [2000, 0.55, 0.1]], [[1000, 0, 1], [1000, 0, 3], [1000, 5, 1]], [[3000, 10, 4]],
        [[500, 100, 10], [500, 60, 10], [500, 100, 10], [500, 101, 1]],
    ]
    for i, parts in enumerate(levels):
        for seed in range(3):
            s[f"g{i}.{seed}"] = {"kind": "gaussian", "seed": 1000 * i + seed + 1, "parts": parts}
    digits = lambda v: {"digits": "".join(str(int(x)) for x in v)}
    # river/drift/test_drift_detectors.py
    np.random.seed(12345)
    s["river1"] = digits(np.concatenate((np.random.randint(2, size=1000), np.random.randint(8, size=1000))))
    np.random.seed(12345)
    s["river2"] = digits([np.random.binomial(1, 0.2) for _ in range(1000)] + [np.random.binomial(1, 0.8) for _ in range(1000)])
    np.random.seed(12345)
    s["river3"] = digits(np.concatenate([np.random.normal(m, 0.1, 500) > 0 for m in (0.0, 0.25, 0.0, 0.25)]))
    # the examples in the documentation of ADWIN, PageHinkley and KSWIN; DDM, HDDM_A and HDDM_W; EDDM; FHDDM; and test_adwin_regression.py
    rng = random.Random(12345)
    s["river4"] = digits(rng.choices([0, 1], k=1000) + rng.choices(range(4, 8), k=1000))
    rng = random.Random(42)
    s["river5"] = digits(rng.choices([0, 1], k=1000) + rng.choices([0, 1], k=1000, weights=[0.3, 0.7]))
    rng = random.Random(42)
    s["river6"] = digits(rng.choices([0, 1], k=250) + rng.choices([0, 1], k=250, weights=[0.9, 0.1]))
    rng = random.Random(42)
    s["river7"] = digits(rng.choices([0, 1], k=1000) + rng.choices(range(4, 8), k=1000) + rng.choices([0, 1], k=1000) + rng.choices(range(4, 8), k=1000))
    return s


# Our name, our settings, river's detector.
RIVER = [
    ("adwin", {}, lambda: drift.ADWIN()),
    ("adwin", {"delta": "0.1", "clock": "1", "min_window": "1", "grace": "30"}, lambda: drift.ADWIN(delta=0.1, clock=1, min_window_length=1, grace_period=30)),
    ("adwin", {"delta": "1e-05", "clock": "7", "min_window": "20"}, lambda: drift.ADWIN(delta=1e-5, clock=7, min_window_length=20)),
    ("page-hinkley", {}, lambda: drift.PageHinkley()),
    ("page-hinkley", {"threshold": "10", "mode": "up"}, lambda: drift.PageHinkley(threshold=10, mode="up")),
    ("page-hinkley", {"threshold": "10", "mode": "down", "min_samples": "100"}, lambda: drift.PageHinkley(threshold=10, mode="down", min_instances=100)),
    ("page-hinkley", {"threshold": "5", "delta": "0.02", "alpha": "1"}, lambda: drift.PageHinkley(threshold=5, delta=0.02, alpha=1)),
    ("kswin", {}, lambda: KSWIN(seed=1)),
    ("kswin", {"alpha": "0.0001", "window": "200", "recent": "100", "seed": "42"}, lambda: KSWIN(alpha=0.0001, window_size=200, stat_size=100, seed=42)),
]
RIVER_BINARY = [
    ("ddm", {}, lambda: binary.DDM()),
    ("ddm", {"min_samples": "100", "warning_level": "1.5", "drift_level": "2.5"}, lambda: binary.DDM(100, 1.5, 2.5)),
    ("eddm", {}, lambda: binary.EDDM()),
    ("eddm", {"min_errors": "50", "warning_level": "0.9", "drift_level": "0.8"}, lambda: binary.EDDM(50, 0.9, 0.8)),
    ("fhddm", {}, lambda: binary.FHDDM()),
    ("fhddm", {"window": "60", "short": "20", "confidence": "0.001"}, lambda: binary.FHDDM(60, 0.001, 20)),
    ("hddm-a", {}, lambda: binary.HDDMA()),
    ("hddm-a", {"two_sided": "true"}, lambda: binary.HDDMA(two_sided_test=True)),
    ("hddm-a", {"drift_confidence": "0.01", "warning_confidence": "0.1"}, lambda: binary.HDDMA(0.01, 0.1)),
    ("hddm-w", {}, lambda: binary.HDDMW()),
    ("hddm-w", {"two_sided": "true"}, lambda: binary.HDDMW(two_sided_test=True)),
    ("hddm-w", {"lambda": "0.01", "drift_confidence": "0.0001", "warning_confidence": "0.001"}, lambda: binary.HDDMW(0.0001, 0.001, 0.01)),
]
# Our name, our settings, MOA's options, and whether it takes errors only.
MOA = [
    ("rddm", {}, "RDDM", True),
    ("rddm", {"min_samples": "50", "max_concept": "2000", "stable_concept": "700", "warn_limit": "200"}, "RDDM -n 50 -x 2000 -y 700 -z 200", True),
    ("stepd", {"moa": "true"}, "STEPD", True),
    ("stepd", {"moa": "true", "window": "60", "drift_alpha": "0.0005", "warning_alpha": "0.01"}, "STEPD -r 60 -o 0.0005 -w 0.01", True),
    ("ewma", {}, "EWMAChartDM", True),
    ("ewma", {"min_samples": "100", "lambda": "0.1"}, "EWMAChartDM -n 100 -l 0.1", True),
    ("cusum", {}, "CusumDM", False),
    ("cusum", {"threshold": "10", "delta": "0.02", "min_samples": "60"}, "CusumDM -n 60 -d 0.02 -l 10", False),
    ("seed", {}, "SEEDChangeDetector", False),
    ("seed", {"delta": "0.2", "block": "64", "epsilon": "0.0025", "growth": "0.5", "term": "50"}, "SEEDChangeDetector -d 0.2 -b 64 -e 0.0025 -a 0.5 -c 50", False),
]


def spans(positions):
    """Packs positions as start, length, start, length."""
    out = []
    for p in positions:
        if out and out[-2] + out[-1] == p:
            out[-1] += 1
        else:
            out += [p, 1]
    return out


def main():
    recipes = streams()
    data = {name: values(r) for name, r in recipes.items()}
    is_binary = {name: set(v) <= {0, 1} for name, v in data.items()}
    runs = []
    for table, only_binary in ((RIVER, False), (RIVER_BINARY, True)):
        for name, settings, make in table:
            for stream, xs in data.items():
                if only_binary and not is_binary[stream] or name == "kswin" and (stream == "long" or stream[-2:] == ".2"):
                    continue
                d, drifts, warnings = make(), [], []
                for i, x in enumerate(xs):
                    d.update(x)
                    if d.drift_detected:
                        drifts.append(i)
                    if only_binary and getattr(d, "warning_detected", False):
                        warnings.append(i)
                runs.append({"of": "river", "detector": name, "settings": settings, "stream": stream, "drifts": drifts, "warnings": spans(warnings)})
    jobs = []
    for name, settings, options, only_binary in MOA:
        for stream in data:
            if is_binary[stream] or not only_binary:
                jobs.append((name, settings, options, stream))
    text = "\n".join(options + "\t" + " ".join(repr(float(x)) for x in data[stream]) for _, _, options, stream in jobs)
    out = subprocess.run(["java", "-cp", sys.argv[1], "Positions.java"], input=text, capture_output=True, text=True, check=True).stdout.splitlines()
    for (name, settings, options, stream), line in zip(jobs, out, strict=True):
        drifts, warnings = ([int(x) for x in part.split()] for part in line.split(";", 1))
        runs.append({"of": "moa", "detector": name, "settings": settings, "stream": stream, "drifts": drifts, "warnings": spans(warnings)})
    head = {"river": river.__version__, "moa": "2024.07.0", "streams": recipes}
    lines = ",\n".join(json.dumps(r, separators=(",", ":")) for r in runs)
    print(json.dumps(head, separators=(",", ":"))[:-1] + ',\n"runs":[\n' + lines + "\n]}")


main()
