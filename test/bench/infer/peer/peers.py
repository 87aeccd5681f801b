#!/usr/bin/env python3
"""Compare this repository's tree inference with ONNX Runtime, XGBoost, LightGBM and compiled C, on one thread.

    python3 -m venv venv && venv/bin/pip install xgboost lightgbm onnxruntime onnx numpy
    venv/bin/python test/bench/infer/peer/peers.py --work /tmp/infer

Needs gcc and go beside the Python packages. Models are trained once and kept in --work. All figures are processor time of the thread that predicts, everything from a row of numbers to a score included. The
programs take turns --turns times, so that a change of the machine's speed meets all of them; the table shows medians over the turns, and ratios are medians of the ratios within a turn.
"""
import argparse, ctypes, glob, json, os, statistics, struct, subprocess, sys, time
import numpy as np

MODELS = {  # features, trees, XGBoost's and LightGBM's parameters
    "D": (28, 500, dict(max_depth=5), dict(num_leaves=32, max_depth=5)),
    "A": (28, 500, dict(grow_policy="lossguide", max_leaves=31, max_depth=0), dict(num_leaves=31)),
    "B": (8, 100, dict(grow_policy="lossguide", max_leaves=63, max_depth=0), dict(num_leaves=63)),
}
HERE = os.path.dirname(os.path.abspath(__file__))


def data(rng, n, f):
    x = rng.standard_normal((n, f)).astype(np.float32)
    x[:, ::3] = np.exp(x[:, ::3] * 0.7)
    z = x[:, 0] * x[:, 1] - 0.7 * x[:, 2] + np.sin(2 * x[:, 3]) + 0.5 * (x[:, 4] > 0.3) * x[:, 5] + 0.4 * x[:, 6] * x[:, 7]
    if f > 8:
        z = z + 0.3 * np.abs(x[:, 9]) * x[:, 10] - 0.3 * x[:, 12] + 0.2 * x[:, 13] * x[:, 14] - 0.25 * x[:, 20] * (x[:, 21] > 0)
    return x, (z + 0.8 * rng.standard_normal(n) > np.median(z)).astype(np.float32)


def train(work):
    import lightgbm, xgboost
    rng = np.random.default_rng(7)
    for name, (features, trees, px, pl) in MODELS.items():
        path = os.path.join(work, name)
        if os.path.exists(path + ".lgb"):
            continue
        x, y = data(rng, 100_000, features)
        test, _ = data(rng, 4096, features)
        b = xgboost.train(dict(objective="binary:logistic", tree_method="hist", max_bin=256, eta=0.1, nthread=1, base_score=0.5, **px), xgboost.DMatrix(x, y), trees)
        b.save_model(path + ".ubj")
        raw = json.loads(b.save_raw("json").decode())["learner"]["gradient_booster"]["model"]["trees"]
        nodes = [list(zip(t["left_children"], t["right_children"], t["split_indices"], t["split_conditions"])) for t in raw]
        with open(path + ".bin", "wb") as f:
            f.write(struct.pack("<ii", len(nodes), features))
            for t in nodes:
                f.write(struct.pack("<i", len(t)))
                for n in t:
                    f.write(struct.pack("<iiif", *n))
        test.tofile(path + ".rows")
        b.predict(xgboost.DMatrix(test), output_margin=True).astype(np.float32).tofile(path + ".pred")
        onnx(path, features, nodes)
        compiled(path, nodes)
        l = lightgbm.train(dict(objective="binary", learning_rate=0.1, max_bin=255, num_threads=1, verbose=-1, **pl), lightgbm.Dataset(x, y), trees)
        l.save_model(path + ".lgb")


def onnx(path, features, trees):
    from onnx import TensorProto, helper, save
    a = {k: [] for k in "nodes_treeids nodes_nodeids nodes_featureids nodes_modes nodes_values nodes_truenodeids nodes_falsenodeids target_treeids target_nodeids target_ids target_weights".split()}
    for t, nodes in enumerate(trees):
        for i, (left, right, feature, value) in enumerate(nodes):
            leaf = left < 0
            for k, v in dict(treeids=t, nodeids=i, featureids=0 if leaf else feature, modes="LEAF" if leaf else "BRANCH_LT", values=0.0 if leaf else value, truenodeids=max(left, 0), falsenodeids=max(right, 0)).items():
                a["nodes_" + k].append(v)
            if leaf:
                for k, v in dict(treeids=t, nodeids=i, ids=0, weights=value).items():
                    a["target_" + k].append(v)
    node = helper.make_node("TreeEnsembleRegressor", ["input"], ["output"], domain="ai.onnx.ml", n_targets=1, post_transform="NONE", aggregate_function="SUM", **a)
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, features])], [helper.make_tensor_value_info("output", TensorProto.FLOAT, [None, 1])])
    m = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 3)])
    m.ir_version = 8
    save(m, path + ".onnx")


def compiled(path, trees):
    """The model as nested conditions, as treelite and lleaves generate it."""
    def number(v):
        return repr(float(np.float32(v))) + "f"

    def walk(nodes, i):
        left, right, feature, value = nodes[i]
        if left < 0:
            return f"return {number(value)};"
        return f"if (x[{feature}] < {number(value)}) {{{walk(nodes, left)}}} else {{{walk(nodes, right)}}}"

    with open(path + ".c", "w") as f:
        for t, nodes in enumerate(trees):
            f.write(f"static float t{t}(const float *x) {{ {walk(nodes, 0)} }}\n")
        f.write("float predict(const float *x) { float s = 0;\n" + "".join(f"s += t{t}(x);\n" for t in range(len(trees))) + "return s; }\n")
    subprocess.run(["gcc", "-O3", "-march=native", "-shared", "-fPIC", "-o", path + ".so", path + ".c"], check=True)


def run(*args, **env):
    out = subprocess.run(args, check=True, capture_output=True, text=True, env={**os.environ, **env}).stdout
    return [json.loads(line) for line in out.splitlines()]


def checked(r, path):
    """Hold a program's first score to XGBoost's; the Go program compares all of them itself."""
    want = struct.unpack("<f", open(path + ".pred", "rb").read(4))[0]
    if abs(r["first"] - want) > 1e-3:
        sys.exit(f"{r['library']}: first score {r['first']}, XGBoost says {want}")
    return r


def timed(call, rows):
    call()
    times = []
    for _ in range(3):
        began, n = time.thread_time_ns(), 0
        while time.thread_time_ns() - began < 30e6:
            call()
            n += rows
        times.append((time.thread_time_ns() - began) / n)
    return statistics.median(times)


def boosters(path, features):
    """The libraries' own predictors through their C interfaces, called from here; the call itself costs about 1 µs."""
    import lightgbm, xgboost
    x = np.fromfile(path + ".rows", np.float32).reshape(-1, features)
    out = {}
    b = xgboost.Booster(dict(nthread=1))
    b.load_model(path + ".ubj")
    lib, config = xgboost.core._LIB, json.dumps(dict(type=1, training=False, iteration_begin=0, iteration_end=0, missing=float("nan"), strict_shape=False, cache_id=0)).encode()
    shape, dim, result = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64(), ctypes.POINTER(ctypes.c_float)()
    for n in (1, 1024):
        array = json.dumps(dict(data=(x.ctypes.data, True), shape=(n, features), typestr="<f4", version=3)).encode()
        call = lambda: lib.XGBoosterPredictFromDense(b.handle, array, config, None, ctypes.byref(shape), ctypes.byref(dim), ctypes.byref(result))
        out[f"xgboost {xgboost.__version__}", n] = timed(call, n)
    l = lightgbm.Booster(model_file=path + ".lgb")
    lib, fast = lightgbm.basic._LIB, ctypes.c_void_p()
    lib.LGBM_BoosterPredictForMatSingleRowFastInit(l._handle, 1, 0, -1, 0, features, b"num_threads=1", ctypes.byref(fast))
    size, scores = ctypes.c_int64(), np.empty(1024)
    to = scores.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
    at = [0]
    def single():
        at[0] = (at[0] + 1) % len(x)
        lib.LGBM_BoosterPredictForMatSingleRowFast(fast, ctypes.c_void_p(x.ctypes.data + at[0] * features * 4), ctypes.byref(size), to)
    out[f"lightgbm {lightgbm.__version__}", 1] = timed(single, 1)
    call = lambda: lib.LGBM_BoosterPredictForMat(l._handle, ctypes.c_void_p(x.ctypes.data), 0, 1024, features, 1, 1, 0, -1, b"num_threads=1", ctypes.byref(size), to)
    out[f"lightgbm {lightgbm.__version__}", 1024] = timed(call, 1024)
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--work", default="/tmp/infer")
    p.add_argument("--turns", type=int, default=7)
    p.add_argument("--kernels", default="portable,avx2", help="values of SKERRY_KERNEL")
    p.add_argument("--models", default="D,A,B")
    a = p.parse_args()
    os.makedirs(a.work, exist_ok=True)
    train(a.work)
    tool = os.path.join(a.work, "infer")
    subprocess.run(["go", "build", "-o", tool, "."], check=True, cwd=os.path.join(HERE, ".."))
    for name in ("ort", "rows"):
        subprocess.run(["gcc", "-O2", "-o", os.path.join(a.work, name), os.path.join(HERE, name + ".c"), "-ldl"], check=True)
    import onnxruntime
    library = glob.glob(os.path.join(os.path.dirname(onnxruntime.__file__), "capi", "libonnxruntime.so.*"))[0]
    for name in a.models.split(","):
        features, path = MODELS[name][0], os.path.join(a.work, name)
        turns, kernels = {}, {}
        for _ in range(a.turns):
            turn = {}
            for n in (1, 1024):
                for r in run(os.path.join(a.work, "ort"), library, path + ".onnx", path + ".rows", str(features), str(n), "3"):
                    turn[r["library"], n] = checked(r, path)["ns_per_row_median"]
                for k in a.kernels.split(","):
                    for r in run(tool, "-model", path, "-runs", "3", "-batch", str(n), SKERRY_KERNEL=k):
                        turn[f"skerry {k}", n], kernels[f"skerry {k}", n] = r["ns_per_row_median"], r["kernel"]
            for r in run(os.path.join(a.work, "rows"), path + ".so", path + ".rows", str(features), "3"):
                turn[r["library"], 1] = checked(r, path)["ns_per_row_median"]
            turn.update(boosters(path, features))
            for k, v in turn.items():
                ort = next(w for q, w in turn.items() if q[0].startswith("onnx") and q[1] == k[1])
                turns.setdefault(k, []).append((v, ort / v))
        for (who, n), v in sorted(turns.items(), key=lambda i: (i[0][1], -i[1][0][1])):
            print(f"{name} | {n} | {who} | {kernels.get((who, n), '')} | {statistics.median(t for t, _ in v):.0f} | {min(t for t, _ in v):.0f} | {statistics.median(q for _, q in v):.2f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
