"""Makes sklearn.csv: the loss of scikit-learn's linear models and multilayer perceptrons on the public tables.

    pip install scikit-learn==1.9.1 pandas==3.1.1 numpy==2.4.6
    python make.py FOLDER_OF_THE_DATA > sklearn.csv

Rows are split as the data's README says ("hash split"), adult and occupancy also by their own column. Numbers are imputed by their median and standardised, categories become indicator columns of the 50
most frequent levels, missing ones a level of their own; targets of regressions are standardised. The loss is the log loss, or the root mean squared error in deviations of the training target. lin is
LogisticRegression(max_iter=1000) or Ridge(1.0); mlp is the mean loss of MLPClassifier or MLPRegressor with one hidden layer of 100 and early stopping over random_state 0, 1 and 2. Where
scikit-learn cannot hold rows back (a class of one row) it trains without early stopping.
"""
import sys
import warnings

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor

warnings.filterwarnings("ignore")
root = sys.argv[1].rstrip("/") + "/"


def tables():
    for _, r in pd.read_csv(root + "tabular/meta/index.csv").iterrows():
        cats = r.categorical_columns.split(";") if isinstance(r.categorical_columns, str) else []
        yield r.file.split(".")[0], "tabular/meta/" + r.file, "target", r.task, cats, []
    adult = "workclass education marital_status occupation relationship race sex native_country".split()
    for name in "adult", "adult/test":
        yield name, "tabular/adult.csv.gz", "income", "clf", adult, ["split"]
    for name in "occupancy", "occupancy/test1", "occupancy/test2":
        yield name, "tabular/occupancy.csv.gz", "Occupancy", "clf", [], ["split", "date"]
    yield "ai4i2020", "pdm/ai4i2020.csv.gz", "Machine failure", "clf", ["Type"], ["UID", "Product ID", "TWF", "HDF", "PWF", "OSF", "RNF"]
    yield "bike_hour", "tabular/bike_sharing_hour.csv.gz", "cnt", "reg", ["season", "weathersit"], ["instant", "dteday", "casual", "registered"]
    yield "california", "tabular/california_housing.csv.gz", "median_house_value", "reg", ["ocean_proximity"], []
    yield "ccpp", "tabular/ccpp.csv.gz", "PE", "reg", [], []


def encode(x, cats, train):
    out = []
    for c in x.columns:
        if c in cats:
            s = x[c].astype(str).where(x[c].notna(), "missing")
            out += [(s == level).values.astype(float) for level in s[train].value_counts().index[:50]]
            continue
        v = pd.to_numeric(x[c], errors="coerce").values.astype(float)
        v = np.where(np.isnan(v), np.nanmedian(v[train]) if np.isfinite(v[train]).any() else 0, v)
        out.append((v - v[train].mean()) / (v[train].std() or 1))
    return np.stack(out, 1)


print("table,lin,mlp")
for name, path, target, task, cats, drop in tables():
    df = pd.read_csv(root + path, keep_default_na=False, na_values=[""])
    test = (np.arange(len(df), dtype=np.uint64) * np.uint64(2654435761) % np.uint64(2**32) >> np.uint64(16)) % np.uint64(5) == 0
    if "/" in name:
        own = name.split("/")[1]
        df = df[df["split"].isin(["train", own])].reset_index(drop=True)
        test = (df["split"] == own).values
    x, y, train = encode(df.drop(columns=[target] + drop), cats, ~test), df[target], ~test
    if task == "clf":
        y = np.unique(y.astype(str), return_inverse=True)[1]
        models = [LogisticRegression(max_iter=1000)] + [MLPClassifier((100,), early_stopping=True, random_state=s) for s in range(3)]
    else:
        y = ((y - y[train].mean()) / y[train].std(ddof=0)).values
        models = [Ridge(1.0)] + [MLPRegressor(hidden_layer_sizes=(100,), early_stopping=True, random_state=s) for s in range(3)]
    loss = []
    for m in models:
        try:
            m.fit(x[train], y[train])
        except ValueError:
            m.set_params(early_stopping=False).fit(x[train], y[train])
        if task == "clf":
            p = np.full((test.sum(), y.max() + 1), 1e-15)
            p[:, m.classes_] = np.clip(m.predict_proba(x[test]), 1e-15, 1)
            loss.append(-np.log(p[np.arange(len(p)), y[test]] / p.sum(1)).mean())
        else:
            loss.append(np.sqrt(((m.predict(x[test]) - y[test]) ** 2).mean()))
    print(f"{name},{loss[0]:.5g},{np.mean(loss[1:]):.5g}", flush=True)
