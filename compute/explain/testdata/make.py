"""Makes lightgbm.json: small LightGBM models, rows and what predict(pred_contrib=True) says about them.

    pip install lightgbm==4.7.0 numpy==2.4.6
    python make.py > lightgbm.json

Trees are written as this repository's ensemble.Node has them: x <= threshold goes left, missing values where missing_left says, categories are those that go left. Covers are LightGBM's data counts,
which are what pred_contrib weighs by.
"""
import json

import lightgbm as lgb
import numpy as np


def nodes(tree):
    out = []

    def add(t):
        at = len(out)
        out.append({})
        if "leaf_value" in t:
            out[at] = {"value": t["leaf_value"], "cover": t.get("leaf_count", 1)}
            return at
        n = {"feature": t["split_feature"], "missing_left": bool(t["default_left"]), "cover": t["internal_count"]}
        if t["decision_type"] == "==":
            n["categories"] = [int(c) for c in t["threshold"].split("||")]
            n["missing_left"] = False
        else:
            n["threshold"] = t["threshold"]
        n["left"], n["right"] = add(t["left_child"]), add(t["right_child"])
        out[at] = n
        return at

    add(tree["tree_structure"])
    return out


def model(name, objective, outputs, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(600, 5))
    x[:, 2] = rng.integers(0, 12, size=600)
    x[:, 4] = rng.integers(0, 4, size=600)
    x[rng.random((600, 5)) < [0.15, 0, 0, 0.3, 0]] = np.nan
    score = np.nan_to_num(x[:, 0]) * x[:, 1] + (x[:, 2] % 3) + np.isnan(x[:, 3]) + 0.3 * x[:, 4] + rng.normal(size=600) / 3
    y = score if outputs == 1 and objective == "regression" else np.digitize(score, np.quantile(score, np.arange(1, max(outputs, 2)) / max(outputs, 2)))
    params = dict(objective=objective, num_leaves=9, learning_rate=0.3, min_data_in_leaf=5, verbose=-1, num_threads=1, seed=1, min_data_per_group=5, cat_smooth=1, max_cat_to_onehot=2)
    if outputs > 1:
        params["num_class"] = outputs
    b = lgb.train(params, lgb.Dataset(x, y, categorical_feature=[2]), num_boost_round=6)
    rows = x[:25]
    return {
        "name": name,
        "inputs": 5,
        "outputs": outputs,
        "trees": [nodes(t) for t in b.dump_model()["tree_info"]],
        "rows": [[None if np.isnan(v) else float(v) for v in r] for r in rows],
        "raw": b.predict(rows, raw_score=True).reshape(25, outputs).tolist(),
        "contributions": b.predict(rows, pred_contrib=True).reshape(25, outputs, 6).tolist(),
    }


print(json.dumps([model("regression", "regression", 1, 1), model("binary", "binary", 1, 2), model("multiclass", "multiclass", 3, 3)]))
