"""AUROC of river's half-space trees on tables of ADBench: each row is scored before it is learned, columns are scaled by their running range.

    python3 -m venv venv && venv/bin/pip install river==0.26.1 scikit-learn==1.9.1
    venv/bin/python test/bench/anomaly/peers.py ../shared/data
"""
import csv
import gzip
import sys

from river import anomaly, preprocessing
from sklearn.metrics import roc_auc_score

for table in ["cardio", "pageblocks", "mammography", "annthyroid", "optdigits", "yeast"]:
    model = preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(n_trees=25, height=10, window_size=250, seed=1)
    labels, scores = [], []
    with gzip.open(f"{sys.argv[1]}/anomaly/adbench/{table}.csv.gz", "rt") as f:
        for row in csv.DictReader(f):
            labels.append(int(row.pop("anomaly")))
            x = {k: float(v) for k, v in row.items()}
            scores.append(model.score_one(x))
            model.learn_one(x)
    print(f"{table} {roc_auc_score(labels, scores):.3f}", flush=True)
