"""Makes the models in this folder and what their own libraries predict with them.

Every model NAME is NAME.EXT.gz, and NAME.case.json.gz has rows and predictions:
  rows    rows of inputs; null is missing, a string is a category's name
  want    per row what the library predicts (onnxruntime for ONNX)
  leaves  per row and tree the value of the leaf that the library reaches, where it says
  source  what wrote the model
  peer    for ONNX, what the converted model predicted before the conversion

Run it with a Python that has lightgbm 4.7, xgboost 3.2, scikit-learn 1.9, skl2onnx 1.20, onnxmltools 1.16, onnx 1.23, onnxruntime 1.32, numpy 2.4 and pandas 3.1:

  python make.py

XGBoost models of older versions are made by a Python that has just xgboost and numpy (1.7.6 and 2.1.4 were used):

  python make.py xgboost
"""

import gzip
import json
import os
import sys
import tempfile

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
TIE = dict(mtime=0)


def plain(v):
    if isinstance(v, (list, tuple, np.ndarray)):
        return [plain(x) for x in v]
    if isinstance(v, (str, bool)) or v is None:
        return v
    v = float(v)
    return None if v != v else v


def write(name, data):
    with open(os.path.join(HERE, name + ".gz"), "wb") as f:
        f.write(gzip.compress(data, 9, **TIE))


def case(name, ext, model, rows, want, source, leaves=None, peer=None, **more):
    want = np.asarray(want)
    if want.ndim == 1:
        want = want[:, None]
    c = {"source": source, "rows": plain(rows), "want": plain(want)}
    if leaves is not None:
        c["leaves"] = plain(leaves)
    if peer is not None:
        peer = np.asarray(peer)
        c["peer"] = plain(peer[:, None] if peer.ndim == 1 else peer)
    c.update(more)
    write(f"{name}.{ext}", model)
    write(f"{name}.case.json", json.dumps(c).encode())
    print(name, len(model), np.asarray(want).shape)


def data(n=400, d=5, seed=1, missing=0.1, dtype=np.float64):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)).astype(dtype)
    X[:, 1] = np.round(X[:, 1] * 2) / 2
    X[rng.random((n, d)) < 0.15] = 0
    y = 2 * np.nan_to_num(X[:, 0]) + np.where(X[:, 1] > 0, 1, -1) * X[:, 2] + 0.3 * rng.normal(size=n)
    X[rng.random((n, d)) < missing] = np.nan
    return X, y


def edges(X, thresholds, n=40, seed=2, extreme=1e30):
    """Rows from X, then rows with exact thresholds and their neighbours, zeros, tiny and large numbers."""
    rng = np.random.default_rng(seed)
    rows = [X[i] for i in range(12)]
    special = [0.0, -0.0, 1e-36, -1e-36, 2e-35, -2e-35, extreme, -extreme, np.nan]
    for _ in range(n):
        row = X[rng.integers(len(X))].copy()
        for j in range(X.shape[1]):
            t = thresholds.get(j, [])
            u = rng.random()
            if len(t) and u < 0.6:
                v = X.dtype.type(t[rng.integers(len(t))])
                k = rng.integers(3)
                with np.errstate(all="ignore"):
                    row[j] = v if k == 0 else np.nextafter(v, X.dtype.type(np.inf if k == 1 else -np.inf))
            elif u < 0.75:
                row[j] = special[rng.integers(len(special))]
        rows.append(row)
    rows.append(np.full(X.shape[1], np.nan, X.dtype))
    return np.array(rows)


# ---- LightGBM ----------------------------------------------------------------------------------------------------------------------------------------------------


def lightgbm_models():
    import lightgbm as lgb
    import pandas as pd

    src = "lightgbm " + lgb.__version__

    def thresholds(b):
        out = {}

        def go(n):
            if "split_feature" in n:
                if n["decision_type"] == "<=":
                    out.setdefault(n["split_feature"], []).append(n["threshold"])
                go(n["left_child"])
                go(n["right_child"])

        for t in b.dump_model()["tree_info"]:
            go(t["tree_structure"])
        return out

    def save(name, b, X, leaves=True, rows=None):
        R = edges(np.asarray(X, float), thresholds(b)) if rows is None else rows
        lv = None
        if leaves:
            idx = b.predict(R, pred_leaf=True)
            lv = [[b.get_leaf_output(t, int(idx[i, t])) for t in range(idx.shape[1])] for i in range(len(R))]
        case("lgb_" + name, "txt", b.model_to_string().encode(), R, b.predict(R), src, lv)

    X, y = data()
    base = dict(verbose=-1, num_leaves=8, min_data_in_leaf=5, learning_rate=0.2, seed=3, deterministic=True, num_threads=1)

    def fit(X, y, rounds=8, cat="auto", group=None, **p):
        ds = lgb.Dataset(X, y, categorical_feature=cat, group=group, params={"max_bin": 63, "min_data_in_bin": 3})
        return lgb.train({**base, **p}, ds, rounds)

    save("regression", fit(X, y, objective="regression"), X)
    save("nomissing", fit(np.nan_to_num(X), y, objective="regression"), X)  # missing type None: NaN counts as 0
    save("nan_off", fit(X, y, objective="regression", use_missing=False), X)
    save("zero_as_missing", fit(X, y, objective="regression", zero_as_missing=True), X)
    for o in ["regression_l1", "huber", "fair", "quantile", "mape"]:
        save(o, fit(X, np.abs(y) + 1 if o == "mape" else y, objective=o, rounds=4), X, leaves=False)
    for o in ["poisson", "gamma", "tweedie"]:
        save(o, fit(X, np.abs(y) + 0.1, objective=o, rounds=5), X)
    save("sqrt", fit(X, y, objective="regression", reg_sqrt=True), X)
    c2 = (y > 0).astype(int)
    c3 = np.digitize(y, [-1, 1])
    save("binary", fit(X, c2, objective="binary"), X)
    save("binary_sigmoid", fit(X, c2, objective="binary", sigmoid=2.5), X)
    save("multiclass", fit(X, c3, objective="multiclass", num_class=3, rounds=4), X)
    save("multiclassova", fit(X, c3, objective="multiclassova", num_class=3, rounds=4, sigmoid=0.5), X)
    save("cross_entropy", fit(X, 1 / (1 + np.exp(-y)), objective="cross_entropy"), X)
    save("cross_entropy_lambda", fit(X, 1 / (1 + np.exp(-y)), objective="cross_entropy_lambda"), X)
    save("lambdarank", fit(X, c3, objective="lambdarank", group=[20] * 20, rounds=4), X)
    save("dart", fit(X, y, objective="regression", boosting="dart", drop_rate=0.5, rounds=10), X)
    save("rf", fit(X, y, objective="regression", boosting="rf", bagging_freq=1, bagging_fraction=0.6, rounds=6), X)
    save("rf_binary", fit(X, c2, objective="binary", boosting="rf", bagging_freq=1, bagging_fraction=0.6, rounds=6), X)
    save("constant", fit(X, np.full(len(y), 3.25), objective="regression", rounds=2), X)
    # Categories: whole numbers, some missing, some unknown to the model.
    rng = np.random.default_rng(5)
    C = X.copy()
    C[:, 3] = rng.integers(0, 9, len(C))
    C[:, 4] = rng.integers(0, 70, len(C))
    yc = y + np.array([3, 1, -2, 5, 0, 2, -4, 1, 0])[C[:, 3].astype(int)] + (C[:, 4].astype(int) % 7)
    catp = dict(min_data_per_group=2, cat_smooth=1, cat_l2=1, max_cat_to_onehot=2)
    odd = np.array([[0, 1, 2, v, w] for v in [np.nan, -1, 100, 3] for w in [np.nan, 200, 300, 69, -5]], float)
    for miss in (0, 1):
        Cm = C.copy()
        if miss:
            Cm[rng.random(len(C)) < 0.1, 3] = np.nan
        b = fit(Cm, yc, cat=[3, 4], objective="regression", **catp)
        R = edges(C, {k: v for k, v in thresholds(b).items() if k < 3})
        R[:, 3:] = C[: len(R), 3:]
        save(f"categories{miss}", b, Cm, rows=np.vstack([R, odd]))
    # Category codes beyond 255: few enough groups to be distinguished.
    W = C.copy()
    W[:, 4] = rng.integers(0, 40, len(C)) * 20
    yw = y + (W[:, 4].astype(int) // 20 % 5)
    b = fit(W, yw, cat=[4], objective="regression", rounds=4, **catp)
    R = W[:60].copy()
    R = np.vstack([R, odd, [[0, 1, 2, 3, v] for v in (780, 781, 779, 800, 5000)]])
    save("categories_wide", b, W, rows=R)
    # pandas categories with names.
    df = pd.DataFrame(X[:, :3], columns=["a", "b", "c"])
    names = ["low", "mid", "high", "odd \"name\""]
    df["kind"] = pd.Categorical(np.array(names)[rng.integers(0, 4, len(df))], categories=names)
    df["hour"] = pd.Categorical(rng.integers(0, 24, len(df)))
    yp = y + df.kind.cat.codes.values * 2.0
    b = fit(df, yp, objective="regression", rounds=5, **catp)
    D = df[:50]
    rows = [[*D.iloc[i, :3].tolist(), D.kind.iloc[i], str(D.hour.iloc[i])] for i in range(len(D))]
    case("lgb_pandas", "txt", b.model_to_string().encode(), rows, b.predict(D), src)


# ---- XGBoost -----------------------------------------------------------------------------------------------------------------------------------------------------


def xgboost_models():
    import xgboost as xgb

    version = tuple(int(v) for v in xgb.__version__.split(".")[:2])
    tag = f"xgb{version[0]}{version[1]}_"
    src = "xgboost " + xgb.__version__
    X, y = data(dtype=np.float32)
    y = y.astype(np.float32)

    def model_of(b):
        m = json.loads(b.save_raw("json"))["learner"]["gradient_booster"]
        return m["gbtree"]["model"] if "gbtree" in m else m["model"]

    def thresholds(b):
        out = {}
        for t in model_of(b).get("trees", []):
            for i, f in enumerate(t["split_indices"]):
                if t["left_children"][i] != -1 and not t["split_type"][i]:
                    out.setdefault(f, []).append(np.float32(t["split_conditions"][i]))
        return out

    def save(name, b, X, fmt="json", rows=None, leaves=False, types=None, margin=False):
        R = edges(np.asarray(X, np.float32), thresholds(b)) if rows is None else np.asarray(rows, np.float32)
        D = xgb.DMatrix(R, feature_types=types, enable_categorical=types is not None, feature_names=b.feature_names)
        lv = None
        if leaves:
            idx = b.predict(D, pred_leaf=True).reshape(len(R), -1).astype(int)
            trees = model_of(b)["trees"]
            lv = [[np.float32(trees[t]["split_conditions"][idx[i, t]]) for t in range(len(trees))] for i in range(len(R))]
        p = b.predict(D)
        if b.attr("softmax"):
            p = b.predict(D, output_margin=True).astype(np.float64)
            p = np.exp(p - p.max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
        case(tag + name, "ubj" if fmt == "ubj" else "json", bytes(b.save_raw(fmt)), R, p, src, lv)

    base = dict(max_depth=3, eta=0.3, seed=3, nthread=1, tree_method="hist", max_bin=64)

    def fit(X, y, rounds=5, types=None, names=None, softmax=False, group=None, **p):
        d = xgb.DMatrix(X, y, feature_types=types, enable_categorical=types is not None, feature_names=names)
        if group:
            d.set_group(group)
        if p.get("objective") == "survival:aft":
            d.set_float_info("label_lower_bound", y)
            d.set_float_info("label_upper_bound", y)
        b = xgb.train({**base, **p}, d, rounds)
        if softmax:
            b.set_attr(softmax="1")
        return b

    c2 = (y > 0).astype(int)
    c3 = np.digitize(y, [-1, 1])
    pos = np.abs(y) + np.float32(0.1)
    names = ["alpha", "beta", "gamma", "delta", "epsilon"]
    save("squarederror", fit(X, y + 150, objective="reg:squarederror", names=names), X, leaves=True)
    save("squarederror_ubj", fit(X, y, objective="reg:squarederror", names=names), X, "ubj", leaves=True)
    save("exact", fit(X, y, objective="reg:squarederror", tree_method="exact", gamma=5.0), X, "ubj", leaves=True)
    save("logistic", fit(X, c2, objective="binary:logistic"), X, "ubj", leaves=True)
    save("logistic_base", fit(X, c2, objective="binary:logistic", base_score=0.2), X)
    save("softprob", fit(X, c3, objective="multi:softprob", num_class=3), X, "ubj", leaves=True)
    save("softmax", fit(X, c3, objective="multi:softmax", num_class=3, softmax=True), X)
    save("forest", fit(X, c3, objective="multi:softprob", num_class=3, num_parallel_tree=3, subsample=0.6, rounds=2), X, "ubj", leaves=True)
    save("dart", fit(X, y, objective="reg:squarederror", booster="dart", rate_drop=0.5, rounds=8), X)
    save("gblinear", fit(X, y, objective="reg:squarederror", booster="gblinear"), X)
    save("gblinear_softprob", fit(X, c3, objective="multi:softprob", num_class=3, booster="gblinear"), X, "ubj")
    save("poisson", fit(X, pos, objective="count:poisson"), X)
    save("gamma", fit(X, pos, objective="reg:gamma"), X, "ubj")
    save("tweedie", fit(X, pos, objective="reg:tweedie", tweedie_variance_power=1.3), X)
    save("hinge", fit(X, c2, objective="binary:hinge"), X, "ubj")
    rng = np.random.default_rng(5)
    C = X.copy()
    C[:, 3] = rng.integers(0, 9, len(C))
    C[:, 4] = rng.integers(0, 60, len(C))
    yc = y + np.array([3, 1, -2, 5, 0, 2, -4, 1, 0], np.float32)[C[:, 3].astype(int)] + (C[:, 4].astype(int) % 7)
    types = ["q", "q", "q", "c", "c"]
    b = fit(C, yc, types=types, objective="reg:squarederror", max_cat_to_onehot=4, rounds=4)
    R = edges(C, {k: v for k, v in thresholds(b).items() if k < 3})
    R[:, 3:] = C[: len(R), 3:]
    odd = [[0, 1, 2, v, w] for v in [np.nan, 100, 3] for w in [np.nan, 59, 200]]
    if version >= (3, 1):
        odd = [[0, 1, 2, v, w] for v in [np.nan, 3] for w in [np.nan, 59]]
    save("categories", b, C, "ubj", rows=np.vstack([R, np.array(odd, np.float32)]), types=types, leaves=True)
    if version < (2, 0):
        return
    save("absoluteerror", fit(X, y, objective="reg:absoluteerror"), X)
    save("quantiles", fit(X, y, objective="reg:quantileerror", quantile_alpha=[0.1, 0.5, 0.9]), X, "ubj")
    save("multi_tree", fit(X, np.stack([y, -y, pos], 1), objective="reg:squarederror", multi_strategy="multi_output_tree"), X, "ubj")
    save("targets", fit(X, np.stack([y, -y, pos], 1), objective="reg:squarederror"), X)
    if version < (3, 0):
        return
    save("pseudohuber", fit(X, y, objective="reg:pseudohubererror"), X)
    save("regl", fit(X, c2, objective="reg:logistic"), X)
    save("logitraw", fit(X, c2, objective="binary:logitraw"), X)
    save("squaredlogerror", fit(X, pos, objective="reg:squaredlogerror"), X)
    save("rank", fit(X, c3, objective="rank:ndcg", group=[20] * 20), X)
    save("cox", fit(X, pos, objective="survival:cox"), X)
    save("aft", fit(X, pos, objective="survival:aft"), X)
    import pandas as pd

    cats = ["low", "mid", "high", "highest"]
    df = pd.DataFrame(X[:, :3], columns=["a", "b", "c"])
    df["kind"] = pd.Categorical(np.array(cats)[rng.integers(0, 4, len(df))], categories=cats)
    df["hour"] = pd.Categorical(rng.integers(0, 24, len(df)))
    d = xgb.DMatrix(df, y + df.kind.cat.codes.values * 2, enable_categorical=True)
    for fmt in ("json", "ubj"):
        b = xgb.train({**base, "max_cat_to_onehot": 3}, d, 4)
        D = df[:50]
        rows = [[*D.iloc[i, :3].tolist(), D.kind.iloc[i], str(D.hour.iloc[i])] for i in range(len(D))]
        case(tag + "pandas_" + fmt, fmt, bytes(b.save_raw(fmt)), rows, b.predict(xgb.DMatrix(D, enable_categorical=True)), src)


# ---- ONNX --------------------------------------------------------------------------------------------------------------------------------------------------------


def onnx_models():
    import warnings

    import lightgbm as lgb
    import onnx
    import onnxmltools
    import onnxruntime as ort
    import pandas as pd
    import skl2onnx
    import sklearn
    import xgboost as xgb
    from onnx import TensorProto, helper
    from onnxmltools.convert.common.data_types import FloatTensorType as MlFloat
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.decomposition import PCA
    from sklearn.ensemble import (ExtraTreesClassifier, GradientBoostingClassifier, GradientBoostingRegressor, HistGradientBoostingClassifier,
                                  HistGradientBoostingRegressor, RandomForestClassifier, RandomForestRegressor)
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, Normalizer, OneHotEncoder, OrdinalEncoder, RobustScaler, StandardScaler
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    warnings.filterwarnings("ignore")
    src = f"skl2onnx {skl2onnx.__version__}, scikit-learn {sklearn.__version__}, onnxruntime {ort.__version__}"
    mlt = f"onnxmltools {onnxmltools.__version__}, onnxruntime {ort.__version__}"

    # skl2onnx 1.20 hands NumPy's numbers of HistGradientBoosting to onnx, which takes Python's alone.
    from skl2onnx.common import _container as container

    make_node = container.make_node

    def make_plain(*args, **kw):
        for key, value in kw.items():
            if isinstance(value, (list, tuple)) and any(isinstance(v, (np.generic, bool)) for v in value):
                value = [v.item() if isinstance(v, np.generic) else v for v in value]
                kw[key] = [int(v) if isinstance(v, bool) else v for v in value]
        return make_node(*args, **kw)

    container.make_node = make_plain

    def thresholds(o):
        out = {}
        for n in o.graph.node:
            if n.op_type in ("TreeEnsembleRegressor", "TreeEnsembleClassifier"):
                a = {x.name: helper.get_attribute_value(x) for x in n.attribute}
                for f, v, m in zip(a["nodes_featureids"], a.get("nodes_values", []), a["nodes_modes"]):
                    if m != b"LEAF":
                        out.setdefault(f, []).append(v)
        return out

    def score(o, feed):
        s = ort.InferenceSession(o.SerializeToString(), providers=["CPUExecutionProvider"])
        outs = s.run(None, feed)
        v = outs[-1]
        if isinstance(v, list):
            v = np.array([[r[k] for k in r] for r in v])
        return np.asarray(v)

    def save(name, o, X, peer=None, near=True, rows=None, source=src):
        X = np.asarray(X)
        R = rows if rows is not None else edges(X, thresholds(o) if near else {}, extreme=1e6)
        if not near and rows is None and not np.isnan(X).any():
            R = R[~np.isnan(R).any(1)]
        p = score(o, {o.graph.input[0].name: R})
        case("onnx_" + name, "onnx", o.SerializeToString(), R, p, source, peer=None if peer is None else peer(R))

    X, y = data(missing=0, dtype=np.float32)
    N = X.copy()
    N[np.random.default_rng(9).random(N.shape) < 0.15] = np.nan
    c2 = (y > 0).astype(int)
    c3 = np.digitize(y, [-1, 1])

    def skl(name, m, X=X, near=True, classes=False, peer=True, dtype=np.float32, **kw):
        o = to_onnx(m, X[:1].astype(dtype), **kw)
        save(name, o, X.astype(dtype), (m.predict_proba if classes else m.predict) if peer else None, near)

    skl("gbr", GradientBoostingRegressor(n_estimators=5, random_state=1).fit(X, y), peer=False)
    skl("gbc2", GradientBoostingClassifier(n_estimators=5, random_state=1).fit(X, c2), classes=True, peer=False)
    skl("gbc3", GradientBoostingClassifier(n_estimators=4, max_depth=2, random_state=1).fit(X, c3), classes=True, peer=False)
    skl("rfr", RandomForestRegressor(4, max_depth=4, random_state=1).fit(X, y), peer=False)
    skl("rfr2", RandomForestRegressor(3, max_depth=3, random_state=1).fit(X, np.stack([y, -2 * y], 1)), peer=False)
    skl("rfc2", RandomForestClassifier(4, max_depth=4, random_state=1).fit(X, c2), classes=True, peer=False)
    skl("rfc3", RandomForestClassifier(4, max_depth=3, random_state=1).fit(X, c3), classes=True, peer=False)
    skl("etc3", ExtraTreesClassifier(4, max_depth=3, random_state=1).fit(X, c3), classes=True, peer=False)
    skl("dtc", DecisionTreeClassifier(max_depth=4, random_state=1).fit(X, c2), classes=True, peer=False)
    skl("dtr", DecisionTreeRegressor(max_depth=4, random_state=1).fit(X, y), peer=False)
    skl("hgbr", HistGradientBoostingRegressor(max_iter=5, max_leaf_nodes=8, random_state=1).fit(N, y), X=N, peer=False)
    skl("hgbc2", HistGradientBoostingClassifier(max_iter=5, max_leaf_nodes=8, random_state=1).fit(N, c2), X=N, classes=True, peer=False)
    skl("hgbc3", HistGradientBoostingClassifier(max_iter=3, max_leaf_nodes=6, random_state=1).fit(N, c3), X=N, classes=True, peer=False)
    skl("logistic2", LogisticRegression().fit(X, c2), near=False, classes=True)
    skl("logistic3", LogisticRegression().fit(X, c3), near=False, classes=True)
    skl("logistic_names", LogisticRegression().fit(X, np.array(["no", "yes"])[c2]), near=False, classes=True)
    skl("logistic_ovr", OneVsRestClassifier(LogisticRegression()).fit(X, c3), near=False, classes=True)
    skl("linear", LinearRegression().fit(X, y), near=False, peer=False)
    skl("ridge", Ridge().fit(X, y), near=False, peer=False)
    skl("ridge2", Ridge().fit(X, np.stack([y, 2 * y], 1)), near=False, peer=False)
    skl("mlpc2", MLPClassifier((6,), max_iter=60, random_state=1).fit(X, c2), near=False, classes=True)
    skl("mlpc3", MLPClassifier((6, 5), max_iter=60, random_state=1).fit(X, c3), near=False, classes=True)
    skl("mlpr", MLPRegressor(hidden_layer_sizes=(6, 5), max_iter=60, random_state=1).fit(X, y), near=False, peer=False)
    skl("pipe_forest", make_pipeline(SimpleImputer(), StandardScaler(), RandomForestRegressor(3, max_depth=3, random_state=1)).fit(N, y), X=N, near=False, peer=False)
    skl("pipe_minmax", make_pipeline(SimpleImputer(strategy="median"), MinMaxScaler(), LogisticRegression()).fit(N, c2), X=N, near=False, classes=True)
    skl("pipe_robust", make_pipeline(SimpleImputer(), MaxAbsScaler(), RobustScaler(), Ridge()).fit(N, y), X=N, near=False, peer=False)
    skl("pipe_normal", make_pipeline(SimpleImputer(), Normalizer(), LinearRegression()).fit(N, y), X=N, near=False, peer=False)
    skl("pipe_normal_l1", make_pipeline(SimpleImputer(), Normalizer("l1"), StandardScaler(), RandomForestClassifier(3, max_depth=3, random_state=1)).fit(N, c2), X=N, near=False, classes=True, peer=False)
    skl("pipe_pca", make_pipeline(SimpleImputer(), PCA(3), LogisticRegression()).fit(N, c3), X=N, near=False, classes=True)
    C = np.concatenate([N[:, :2], np.random.default_rng(3).integers(0, 4, (len(X), 1)), np.random.default_rng(4).integers(3, 6, (len(X), 1))], 1).astype(np.float32)
    ct = ColumnTransformer([("a", make_pipeline(SimpleImputer(), StandardScaler()), [0, 1]), ("b", OneHotEncoder(handle_unknown="ignore"), [2, 3])])
    m = make_pipeline(ct, LogisticRegression()).fit(C, c2)
    unknown = np.array([[0, 1, 9, 3], [0, np.nan, 2, -1]], np.float32)
    save("pipe_onehot", to_onnx(m, C[:1]), C, m.predict_proba, rows=np.vstack([C[:40], unknown]))
    df = pd.DataFrame({"a": N[:, 0], "b": N[:, 1], "k": np.random.default_rng(6).choice(["x", "y", "z"], len(X))})
    types = [("a", FloatTensorType([None, 1])), ("b", FloatTensorType([None, 1])), ("k", StringTensorType([None, 1]))]

    def frame(name, m, proba):
        o = to_onnx(m, initial_types=types)
        D = df[:50]
        feed = {"a": D[["a"]].values, "b": D[["b"]].values, "k": D[["k"]].values.astype(object)}
        rows = [[D.a.iloc[i], D.b.iloc[i], D.k.iloc[i]] for i in range(len(D))]
        case("onnx_" + name, "onnx", o.SerializeToString(), rows, score(o, feed), src)

    ct = ColumnTransformer([("a", make_pipeline(SimpleImputer(), StandardScaler()), ["a", "b"]), ("b", OneHotEncoder(handle_unknown="ignore"), ["k"])])
    frame("pipe_text", make_pipeline(ct, GradientBoostingClassifier(n_estimators=4, max_depth=2, random_state=1)).fit(df, c2), True)
    ct = ColumnTransformer([("a", SimpleImputer(), ["a", "b"]), ("b", OrdinalEncoder(), ["k"])])
    frame("pipe_ordinal", make_pipeline(ct, GradientBoostingRegressor(n_estimators=4, max_depth=2, random_state=1)).fit(df, y), False)

    wide = [("x", MlFloat([None, 5]))]
    lg = dict(n_estimators=4, num_leaves=7, verbose=-1, random_state=1)
    conv = onnxmltools.convert_lightgbm
    save("lgb_regression", conv(lgb.LGBMRegressor(**lg).fit(N, y), initial_types=wide), N, source=mlt)
    save("lgb_nomissing", conv(lgb.LGBMRegressor(**lg).fit(X, y), initial_types=wide), X, source=mlt)
    save("lgb_poisson", conv(lgb.LGBMRegressor(objective="poisson", **lg).fit(N, abs(y)), initial_types=wide), N, source=mlt)
    save("lgb_binary", conv(lgb.LGBMClassifier(**lg).fit(N, c2), initial_types=wide), N, source=mlt)
    save("lgb_multiclass", conv(lgb.LGBMClassifier(**lg).fit(N, c3), initial_types=wide, zipmap=False), N, source=mlt)
    K = X.copy()
    K[:, 3] = np.random.default_rng(8).integers(0, 8, len(K))
    m = lgb.LGBMRegressor(min_child_samples=3, max_cat_to_onehot=1, cat_smooth=1, cat_l2=1, **lg).fit(K, y + 3 * (K[:, 3] % 3), categorical_feature=[3])
    save("lgb_categories", conv(m, initial_types=wide), K, rows=K[:60], source=mlt)
    xg = dict(n_estimators=4, max_depth=3, random_state=1)
    conv = onnxmltools.convert_xgboost
    save("xgb_regression", conv(xgb.XGBRegressor(**xg).fit(N, y), initial_types=wide), N, source=mlt)
    save("xgb_binary", conv(xgb.XGBClassifier(**xg).fit(N, c2), initial_types=wide), N, source=mlt)
    save("xgb_multiclass", conv(xgb.XGBClassifier(**xg).fit(N, c3), initial_types=wide), N, source=mlt)
    save("xgb_poisson", conv(xgb.XGBRegressor(objective="count:poisson", **xg).fit(N, abs(y)), initial_types=wide), N, source=mlt)

    # Every mode and aggregate, by hand.
    for double in (False, True):
        dt = np.float64 if double else np.float32
        for version in (3, 5):
            rng = np.random.default_rng(11)
            modes = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]
            at = dict(treeids=[], nodeids=[], featureids=[], values=[], modes=[], truenodeids=[], falsenodeids=[], missing_value_tracks_true=[])
            leaf = dict(treeids=[], nodeids=[], ids=[], weights=[])
            for t in range(12):
                for i in range(7):
                    inner = i < 3
                    mode = modes[(t + i) % 6]
                    for k, v in zip(at, (t, i, rng.integers(0, 4), float(rng.integers(0, 5)), mode if inner else "LEAF", 2 * i + 1 if inner else 0, 2 * i + 2 if inner else 0,
                                         int(rng.integers(0, 2)) if inner else 0)):
                        at[k].append(int(v) if isinstance(v, np.integer) else v)
                    if not inner:
                        for k, v in zip(leaf, (t, i, t % 2, float(dt(rng.normal())))):
                            leaf[k].append(v)
            vi = helper.make_tensor_value_info
            T = TensorProto.DOUBLE if double else TensorProto.FLOAT
            if version == 3:
                attrs = {"nodes_" + k: v for k, v in at.items()} | {"target_" + k: v for k, v in leaf.items()}
                if double:
                    for k in ("nodes_values", "target_weights"):
                        attrs[k + "_as_tensor"] = helper.make_tensor(k, T, [len(attrs[k])], attrs.pop(k))
                node = helper.make_node("TreeEnsembleRegressor", ["X"], ["Y"], domain="ai.onnx.ml", n_targets=2, aggregate_function="AVERAGE", base_values=None if double else [1.0, 2.0], **attrs)
                out = vi("Y", TensorProto.FLOAT, [None, 2])
            else:
                at["modes"] = [m if m == "LEAF" or rng.random() < 0.6 else "BRANCH_MEMBER" for m in at["modes"]]
                names = {"BRANCH_LEQ": 0, "BRANCH_LT": 1, "BRANCH_GTE": 2, "BRANCH_GT": 3, "BRANCH_EQ": 4, "BRANCH_NEQ": 5, "BRANCH_MEMBER": 6}
                inner = [k for k in range(len(at["modes"])) if at["modes"][k] != "LEAF"]
                num = {(at["treeids"][k], at["nodeids"][k]): j for j, k in enumerate(inner)}
                lnum = {(leaf["treeids"][j], leaf["nodeids"][j]): j for j in range(len(leaf["ids"]))}
                member = []
                f = dict(nodes_featureids=[], nodes_truenodeids=[], nodes_falsenodeids=[], nodes_trueleafs=[], nodes_falseleafs=[], nodes_missing_value_tracks_true=[])
                for k in inner:
                    t = at["treeids"][k]
                    f["nodes_featureids"].append(at["featureids"][k])
                    f["nodes_missing_value_tracks_true"].append(at["missing_value_tracks_true"][k])
                    for side in ("true", "false"):
                        c = (t, at[side + "nodeids"][k])
                        f[f"nodes_{side}nodeids"].append(lnum[c] if c in lnum else num[c])
                        f[f"nodes_{side}leafs"].append(int(c in lnum))
                    if at["modes"][k] == "BRANCH_MEMBER":
                        member += [float(v) for v in sorted(rng.choice(6, 3, replace=False))] + [float("nan")]
                node = helper.make_node("TreeEnsemble", ["X"], ["Y"], domain="ai.onnx.ml", n_targets=2, aggregate_function=1, post_transform=0, tree_roots=[num[t, 0] for t in range(12)],
                                        nodes_splits=helper.make_tensor("s", T, [len(inner)], [at["values"][k] for k in inner]),
                                        nodes_modes=helper.make_tensor("m", TensorProto.UINT8, [len(inner)], [names[at["modes"][k]] for k in inner]),
                                        membership_values=helper.make_tensor("v", T, [len(member)], member), leaf_targetids=leaf["ids"],
                                        leaf_weights=helper.make_tensor("w", T, [len(leaf["ids"])], leaf["weights"]), **f)
                out = vi("Y", T, [None, 2])
            o = helper.make_model(helper.make_graph([node], "g", [vi("X", T, [None, 4])], [out]), opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", version)], ir_version=8)
            R = rng.integers(-1, 7, (80, 4)).astype(dt)
            R[rng.random(R.shape) < 0.15] = np.nan
            save(f"modes_v{version}_{'double' if double else 'float'}", o, R, rows=R, source="by hand, " + mlt)


if __name__ == "__main__":
    which = sys.argv[1:] or ["lightgbm", "xgboost", "onnx"]
    for w in which:
        globals()[w + "_models"]()
