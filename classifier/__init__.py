"""The core of the classifier: it turns texts into predictions, without BentoML, HTTP or training."""

__version__ = "0.1.0"
