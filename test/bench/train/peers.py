"""One training of another library on a table that the benchmark wrote; the result is a line of JSON.

    python peers.py DIR LIBRARY THREADS        needs: numpy and the library (lightgbm, xgboost or scikit-learn)

DIR holds train.x and test.x (float32, row by row), train.y and test.y (float32) and shape.json (columns, categorical columns). 100 trees of 31 leaves (depth 5 for xgboost-depth), rate 0.1, 255 or
256 bins; the time is that of binning and training, from arrays in memory.
"""
import json, os, resource, sys, time

folder, library, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.environ["OMP_NUM_THREADS"] = str(threads)
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
import numpy as np

shape = json.load(open(folder + "/shape.json"))
cols, cats = shape["columns"], shape["categorical"] or []
read = lambda name: np.fromfile(folder + "/" + name, dtype=np.float32)
x, y = read("train.x").reshape(-1, cols), read("train.y")
xt, yt = read("test.x").reshape(-1, cols), read("test.y")


def auc(y, p):
    order = np.argsort(p, kind="stable")
    p, y = p[order], y[order]
    _, first, count = np.unique(p, return_index=True, return_counts=True)
    rank = np.repeat(first + (count + 1) / 2, count)
    pos = y.sum()
    return float((rank[y == 1].sum() - pos * (pos + 1) / 2) / (pos * (len(y) - pos)))


if library == "lightgbm":
    import lightgbm as lgb

    version = lgb.__version__
    began = time.perf_counter()
    d = lgb.Dataset(x, y, params=dict(max_bin=255, num_threads=threads, verbose=-1), categorical_feature=cats).construct()
    binned = time.perf_counter()
    m = lgb.train(dict(objective="binary", num_leaves=31, learning_rate=0.1, max_bin=255, num_threads=threads, verbose=-1), d, 100)
    ended = time.perf_counter()
    p = m.predict(xt)
elif library.startswith("xgboost"):
    import xgboost as xgb

    version = xgb.__version__
    types = ["c" if j in cats else "q" for j in range(cols)]
    began = time.perf_counter()
    d = xgb.QuantileDMatrix(x, y, nthread=threads, max_bin=256, feature_types=types, enable_categorical=True)
    binned = time.perf_counter()
    grow = dict(max_depth=5) if library == "xgboost-depth" else dict(grow_policy="lossguide", max_leaves=31, max_depth=0)
    m = xgb.train(dict(objective="binary:logistic", tree_method="hist", max_bin=256, eta=0.1, nthread=threads, **grow), d, 100)
    ended = time.perf_counter()
    p = m.predict(xgb.DMatrix(xt, feature_types=types, enable_categorical=True))
elif library == "hgb":
    import sklearn
    from sklearn.ensemble import HistGradientBoostingClassifier

    version = sklearn.__version__
    began = binned = time.perf_counter()
    m = HistGradientBoostingClassifier(max_iter=100, max_leaf_nodes=31, learning_rate=0.1, early_stopping=False, categorical_features=cats or None).fit(x, y)
    ended = time.perf_counter()
    p = m.predict_proba(xt)[:, 1]
else:
    sys.exit("unknown library " + library)
print(json.dumps({"version": version, "seconds_bin": binned - began, "seconds_train": ended - binned, "auc": auc(yt, p), "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
