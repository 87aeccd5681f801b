"""Writes peers.json: what pandas, SciPy and scikit-learn make of the same readings.

Made with numpy 2.4.6, pandas 3.1.1, scipy 1.17.1, scikit-learn 1.9.1:

    python3 -m venv venv && venv/bin/pip install numpy pandas scipy scikit-learn && venv/bin/python peers.py

Statistics are those of irregular rows with missing readings over the rows younger than 6 h; exponential weights look back over all rows; spectra are of 32 hourly readings without gaps; places are those of a QuantileTransformer.
"""
import json

import numpy as np
import pandas as pd
from scipy import signal
from sklearn.preprocessing import QuantileTransformer

rng = np.random.default_rng(5)
n = 60
minutes = np.cumsum(rng.choice([60, 60, 60, 20, 150, 400], n))
x = np.round(np.cumsum(rng.normal(size=n)), 3)
x[rng.random(n) < 0.15] = np.nan
s = pd.Series(x, index=pd.to_datetime(minutes, unit="m"))
w = s.rolling("6h")


def crossings(v):
    side = np.sign(v - v.mean())
    side = side[side != 0]
    return int((side[1:] != side[:-1]).sum())


def windowed(f, least=1):
    out = []
    for i in range(n):
        keep = (minutes > minutes[i] - 360) & (minutes <= minutes[i]) & ~np.isnan(x)
        out.append(f(minutes[keep] * 60.0, x[keep]) if len(np.unique(minutes[keep])) >= least else np.nan)
    return np.array(out)


def mad_flag(t, v):
    med = np.median(v)
    return float(abs(v[-1] - med) > 1.5 * np.median(abs(v - med))) if len(v) >= 3 else 0.0


spike = windowed(mad_flag)
spike[np.isnan(x)] = np.nan
columns = {
    "median": w.median(), "q30": w.quantile(0.3), "range": w.max() - w.min(), "count": w.count(), "energy": (s * s).rolling("6h").mean(),
    "slope": windowed(lambda t, v: np.polyfit(t - t[0], v, 1)[0], 2), "crossings": windowed(lambda t, v: crossings(v)), "spike": spike,
    "rows_median": s.rolling(5, min_periods=1).median(), "last": s.ffill(), "diff2": (s - 2 * s.shift(2) + s.shift(4)), "lag": s.shift(3),
    # pandas carries a missing row's mean on unchanged, as the weights' ratio does; its halflife weighs by the times.
    "ew_mean": s.ewm(halflife="4h", times=s.index).mean(), "since": (pd.Series(minutes) - pd.Series(np.where(np.isnan(x), np.nan, minutes)).ffill()) * 60.0,
}
weights = [0.5 ** ((minutes[i] - minutes[: i + 1]) / 240.0) for i in range(n)]
ew = []
for i in range(n):
    k = ~np.isnan(x[: i + 1])
    ew.append(np.sqrt(np.cov(x[: i + 1][k], aweights=weights[i][k], ddof=0)) if k.sum() > 1 else (0.0 if k.sum() else np.nan))
columns["ew_std"] = ew

hourly = np.round(3 * np.sin(2 * np.pi * np.arange(32) / 6.0) + rng.normal(size=32) + 10, 3)
spectra = {}
for points in (32, 20):
    padded = 1 << (points - 1).bit_length()
    f, p = signal.periodogram(hourly[-points:], fs=1 / 3600.0, window="hann", nfft=padded, detrend="constant", scaling="density")
    p = p * f[1]  # power of each frequency
    band = (f >= 1 / (8 * 3600.0)) & (f < 1 / (4 * 3600.0))
    spectra[points] = {"low": 1 / (8 * 3600.0), "high": 1 / (4 * 3600.0), "band_power": p[band].sum(), "dominant": f[1:][p[1:].argmax()]}

data = np.round(np.concatenate([-rng.exponential(size=20), np.zeros(40), rng.exponential(size=40)]), 2)
q = QuantileTransformer(n_quantiles=11, subsample=None).fit(data[:, None])
probe = np.sort(np.concatenate([[-9, 0, 99], data[::7], data[::9] + 0.013]))


def plain(v):
    return [None if pd.isna(a) else float(a) for a in v]


json.dump({
    "minutes": minutes.tolist(), "x": plain(x), "columns": {k: plain(v) for k, v in columns.items()}, "hourly": hourly.tolist(), "spectra": spectra,
    "data": data.tolist(), "quantiles": q.quantiles_[:, 0].tolist(), "probe": probe.tolist(), "placed": q.transform(probe[:, None])[:, 0].tolist(),
}, open("peers.json", "w"))
