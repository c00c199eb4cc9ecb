"""The classifier's core: from a text to a prediction, without BentoML, HTTP or training."""
