"""Writes peers.json: what scikit-learn fits to the same values.

Made with numpy 2.4.6, scikit-learn 1.9.1:

    python3 -m venv venv && venv/bin/pip install numpy scikit-learn && venv/bin/python peers.py
"""
import json

import numpy as np
from sklearn.preprocessing import QuantileTransformer, RobustScaler, TargetEncoder

rng = np.random.default_rng(8)
x = np.round(np.concatenate([rng.normal(5, 2, 150), rng.normal(90, 30, 10), np.full(30, 4.5)]), 2)
codes = rng.integers(0, 6, x.size)
y = np.round(codes * 2.0 + rng.normal(size=x.size), 2)
r = RobustScaler().fit(x[:, None])
q = QuantileTransformer(n_quantiles=16, subsample=None).fit(x[:, None])
t = TargetEncoder(smooth=7.0, target_type="continuous").fit(codes[:, None], y)
json.dump({"x": x.tolist(), "codes": codes.tolist(), "y": y.tolist(), "center": r.center_[0], "scale": r.scale_[0], "quantiles": q.quantiles_[:, 0].tolist(),
           "encodings": t.encodings_[0].tolist(), "mean": t.target_mean_}, open("peers.json", "w"))
