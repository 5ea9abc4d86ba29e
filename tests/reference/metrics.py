"""Prints the numbers that tests/training/metrics_test.cpp and schedule_test.cpp hold, from scikit-learn, scipy and
transformers: python tests/reference/metrics.py"""

import numpy
import scipy.stats
import sklearn.metrics as sk
import torch
import transformers

TRUTH = [0, 1, 2, 2, 1, 0, 2, 2, 1, 0, 0, 2, 1, 1, 2, 0, 2, 2, 1, 0]
PREDICTED = [0, 2, 2, 2, 1, 0, 1, 2, 1, 2, 0, 2, 1, 0, 2, 0, 2, 1, 1, 1]
BINARY_TRUTH = [int(c == 2) for c in TRUTH]
BINARY_PREDICTED = [int(c == 2) for c in PREDICTED]
A = [1.5, 2.0, 2.0, 3.25, -1.0, 0.0, 7.5, 2.0, 4.0, -3.5]
B = [0.5, 1.0, 2.5, 2.5, -2.0, 1.0, 5.0, 0.0, 3.0, 1.0]


def classes(truth, predicted):
    average = dict(average="macro", zero_division=0)
    print("  accuracy       %.17g" % sk.accuracy_score(truth, predicted))
    print("  macro          %.17g %.17g %.17g" % (
        sk.precision_score(truth, predicted, **average), sk.recall_score(truth, predicted, **average),
        sk.f1_score(truth, predicted, **average)))
    print("  matthews       %.17g" % sk.matthews_corrcoef(truth, predicted))


print("three classes")
classes(TRUTH, PREDICTED)
print("a class that never occurs is no part of the mean: 0 and 3 of four")
classes([0, 0, 3, 3], [0, 3, 3, 3])
print("a class that is only predicted is")
classes([0, 0, 0, 0], [0, 1, 0, 0])
print("two classes")
classes(BINARY_TRUTH, BINARY_PREDICTED)
print("  class 1        %.17g %.17g %.17g" % (
    sk.precision_score(BINARY_TRUTH, BINARY_PREDICTED), sk.recall_score(BINARY_TRUTH, BINARY_PREDICTED),
    sk.f1_score(BINARY_TRUTH, BINARY_PREDICTED)))
print("pearson  %.17g" % scipy.stats.pearsonr(A, B).statistic)
print("spearman %.17g" % scipy.stats.spearmanr(A, B).statistic)


def multipliers(make, steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = make(optimizer)
    values = []
    for _ in range(max(steps) + 1):
        values.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return [values[s] for s in steps]


STEPS = [0, 1, 5, 9, 10, 11, 55, 99, 100, 110]
print("schedules of 100 steps, 10 of them warm-up, at", STEPS)
for name, make in {
    "linear": lambda o: transformers.get_linear_schedule_with_warmup(o, 10, 100),
    "constant": lambda o: transformers.get_constant_schedule_with_warmup(o, 10),
    "cosine": lambda o: transformers.get_cosine_schedule_with_warmup(o, 10, 100),
}.items():
    print(" ", name, ", ".join("%.17g" % v for v in multipliers(make, STEPS)))
print(numpy.__version__, scipy.__version__, transformers.__version__)
