"""Plays rows that the benchmark wrote to one of river's learners, each row predicted before it is learned, and prints accuracy and rows a second.

    python peers.py FILE INPUTS LEARNER SECONDS        needs: river

FILE holds the inputs and the class of each row as little-endian float64. After SECONDS the learner is stopped; its rate is that of the rows it had.
"""
import array, sys, time

import river
from river import ensemble, forest, tree

file, inputs, learner, patience = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
values = array.array("d", open(file, "rb").read())
names = [f"x{i}" for i in range(inputs)]
rows = [(dict(zip(names, values[i : i + inputs])), int(values[i + inputs])) for i in range(0, len(values), inputs + 1)]
model = {
    "ht": lambda: tree.HoeffdingTreeClassifier(),
    "hat": lambda: tree.HoeffdingAdaptiveTreeClassifier(seed=1),
    "efdt": lambda: tree.ExtremelyFastDecisionTreeClassifier(),
    "bagging": lambda: ensemble.LeveragingBaggingClassifier(tree.HoeffdingTreeClassifier(), seed=1),
    "arf": lambda: forest.ARFClassifier(seed=1),
    "srp": lambda: ensemble.SRPClassifier(seed=1),
    "amf": lambda: forest.AMFClassifier(seed=1),
}[learner]()
right, n, began = 0, 0, time.perf_counter()
for x, y in rows:
    right += model.predict_one(x) == y
    model.learn_one(x, y)
    n += 1
    if n % 100 == 0 and time.perf_counter() - began > patience:
        break
took = time.perf_counter() - began
print(f"{river.__version__}: {n / took:.0f} rows/s, accuracy {right / n:.4f} of {n} rows")
