"""Scores of other libraries on the public tables, by the hash split of their README, as JSON on standard output.

    python peers.py DATA_DIR > peers.json        needs: lightgbm xgboost scikit-learn pandas

Boosters run 100 rounds of 31 leaves at rate 0.1 and otherwise their defaults, with categories native; random forests and extra trees have 200 trees and otherwise scikit-learn's defaults,
on category codes; the perceptron has one hidden layer of 100 and early stopping, on scaled and one-hot columns (at most 50 levels).
Error is log loss of classes and root mean squared error of numbers. Categories are those of the index, elsewhere columns of text.
"""
import csv, json, os, sys, time, warnings

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")
root = sys.argv[1] + "/tabular/"
only = sys.argv[2:]
BIG = {
    "adult": ("income", ["split"]),
    "occupancy": ("Occupancy", ["split", "date"]),
    "bike_sharing_hour": ("cnt", ["instant", "dteday", "casual", "registered"]),
    "california_housing": ("median_house_value", []),
    "ccpp": ("PE", []),
}


def tables():
    for name, (target, drop) in BIG.items():
        yield name, root + name + ".csv.gz", target, drop, None
    for r in csv.DictReader(open(root + "meta/index.csv")):
        yield r["file"][:-7], root + "meta/" + r["file"], "target", [], r["task"]


def load(path, target, drop, task):
    d = pd.read_csv(path, keep_default_na=False, na_values=["", "NA", "NaN", "nan", "null", "?"]).drop(columns=drop)
    y, x = d[target], d.drop(columns=[target])
    if task is None:
        task = "reg" if y.dtype.kind in "fi" and y.nunique() > 10 else "clf"
    for c in x.columns:
        if x[c].isna().all():
            x = x.drop(columns=[c])
        elif x[c].dtype.kind not in "fiub":
            x[c] = x[c].astype("category")
        else:
            x[c] = x[c].astype(float)
    if task == "clf":
        y = y.astype(str).astype("category").cat.codes.to_numpy()
    else:
        y = y.astype(float).to_numpy()
    x.columns = ["x%d" % k for k in range(x.shape[1])]  # some names hold characters that LightGBM refuses
    i = np.arange(len(y), dtype=np.uint64)
    test = (((i * 2654435761) % 2**32) >> 16) % 5 == 0
    return x, y, test, task


def score(task, y, p, classes):
    if task == "reg":
        return {"rmse": float(np.sqrt(np.mean((y - p) ** 2))), "mae": float(np.mean(np.abs(y - p)))}
    q = np.full((len(y), classes), 0.0)
    q[:, : p.shape[1]] = p
    q = np.clip(q, 2.0**-52, 1)
    return {"logloss": float(-np.mean(np.log(q[np.arange(len(y)), y]))), "accuracy": float(np.mean(q.argmax(1) == y))}


def models(task, x, y, classes):
    import lightgbm as lgb, xgboost as xgb
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier, RandomForestRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    c = task == "clf"
    cats = [k for k in x.columns if str(x[k].dtype) == "category"]
    nums = [k for k in x.columns if k not in cats]
    codes = lambda d: d.assign(**{k: d[k].cat.codes for k in cats}).fillna(-999)
    dense = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), nums),
        (make_pipeline(SimpleImputer(strategy="constant", fill_value="missing"), OneHotEncoder(handle_unknown="ignore", max_categories=50, sparse_output=False)), cats),
    )
    as_text = lambda d: d.assign(**{k: d[k].astype(object) for k in cats})
    yield "lightgbm", lambda: (lgb.LGBMClassifier if c else lgb.LGBMRegressor)(n_estimators=100, num_leaves=31, learning_rate=0.1, n_jobs=1, verbose=-1), lambda d: d
    yield "xgboost", lambda: (xgb.XGBClassifier if c else xgb.XGBRegressor)(n_estimators=100, max_leaves=31, max_depth=0, grow_policy="lossguide", learning_rate=0.1, tree_method="hist", enable_categorical=True, n_jobs=1), lambda d: d
    yield "hgb", lambda: (HistGradientBoostingClassifier if c else HistGradientBoostingRegressor)(max_iter=100, max_leaf_nodes=31, learning_rate=0.1, early_stopping=False, categorical_features="from_dtype"), lambda d: d
    yield "forest", lambda: (RandomForestClassifier if c else RandomForestRegressor)(n_estimators=200, n_jobs=1, random_state=1), codes
    yield "extra-trees", lambda: (ExtraTreesClassifier if c else ExtraTreesRegressor)(n_estimators=200, n_jobs=1, random_state=1), codes
    yield "neural", lambda: make_pipeline(dense, (MLPClassifier if c else MLPRegressor)(hidden_layer_sizes=(100,), early_stopping=True, random_state=1, max_iter=200)), as_text
    yield "linear", lambda: make_pipeline(dense, LogisticRegression(max_iter=2000) if c else Ridge(1.0)), as_text


out = []
for name, path, target, drop, task in tables():
    if only and name not in only:
        continue
    x, y, test, task = load(path, target, drop, task)
    classes = int(y.max()) + 1 if task == "clf" else 0
    row = {"table": name, "task": task, "rows_train": int((~test).sum()), "rows_test": int(test.sum()), "features": x.shape[1], "classes": classes}
    for model, make, prepare in models(task, x, y, classes):
        began = time.time()
        try:
            ytr = y[~test]
            seen, ytr2 = np.unique(ytr, return_inverse=True) if task == "clf" else (None, ytr)
            scale = (ytr2.mean(), ytr2.std()) if model == "neural" and task == "reg" else (0, 1)
            m = make().fit(prepare(x[~test]), (ytr2 - scale[0]) / scale[1] if task == "reg" else ytr2)
            if task == "clf":
                p = np.zeros((int(test.sum()), classes))
                p[:, seen] = m.predict_proba(prepare(x[test]))
            else:
                p = m.predict(prepare(x[test])) * scale[1] + scale[0]
            row[model] = dict(score(task, y[test], p, classes), seconds=round(time.time() - began, 2))
        except Exception as e:
            row[model] = {"error": str(e)[:200]}
    out.append(row)
    print(name, {k: v for k, v in row.items() if isinstance(v, dict)}, file=sys.stderr, flush=True)
json.dump(out, sys.stdout, indent=1)
