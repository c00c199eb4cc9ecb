"""The classifier's core: from a text to a prediction, without BentoML, HTTP or training."""

__version__ = "0.1.0"
