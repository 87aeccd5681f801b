"""Predicts with ONNX files: run.py FOLDER reads NAME.onnx and NAME.rows.json there and writes NAME.out.json, one list per row. Needs onnxruntime and numpy."""

import glob
import json
import sys

import numpy as np
import onnxruntime as ort

ort.set_default_logger_severity(3)
for path in sorted(glob.glob(sys.argv[1] + "/*.onnx")):
    name = path[: -len(".onnx")]
    with open(name + ".rows.json") as f:
        rows = json.load(f)
    x = np.array([[np.nan if v is None else v for v in r] for r in rows], np.float32)
    try:
        s = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        outs = dict(zip([o.name for o in s.get_outputs()], s.run(None, {s.get_inputs()[0].name: x})))
        if "probabilities" in outs:
            out = {"out": outs["probabilities"].tolist(), "label": outs["label"].tolist()}
        else:
            out = {"out": outs["prediction"].tolist()}
            for k in ("lower", "upper"):
                if k in outs:
                    out[k] = outs[k].tolist()
        text = json.dumps(out)  # NaN and Infinity become words that are no JSON
        for word in ("NaN", "-Infinity", "Infinity"):
            text = text.replace(word, "null")
    except Exception as e:
        text = json.dumps({"error": str(e)[:2000]})
    with open(name + ".out.json", "w") as f:
        f.write(text)
