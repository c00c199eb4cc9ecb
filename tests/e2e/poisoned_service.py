"""The service with a runtime that fails on the texts of `poison`. Everything above it is unchanged."""

from poison import poisoned

from classifier.runtimes.linear import LinearRuntime
from classifier.runtimes.onnx import OnnxRuntime

LinearRuntime.score = poisoned(LinearRuntime.score)
OnnxRuntime.score = poisoned(OnnxRuntime.score)

from service import TextClassifier  # noqa: E402, F401
