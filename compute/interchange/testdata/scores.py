"""Writes scores.onnx: a support vector machine over three classes, whose outputs are decision values.

    pip install skl2onnx && python scores.py
"""

import numpy as np
from skl2onnx import to_onnx
from sklearn.svm import LinearSVC

rng = np.random.default_rng(3)
x = rng.normal(size=(150, 2)).astype("f4")
y = np.where(x[:, 0] > 0.3, "high", np.where(x[:, 1] > 0, "mid", "low"))
model = LinearSVC(random_state=0).fit(x, y)
onnx = to_onnx(model, x[:1], target_opset={"": 17, "ai.onnx.ml": 3})
open("scores.onnx", "wb").write(onnx.SerializeToString())
