"""TensorFlow, which most of these tests import, prints nothing."""

from training_import.tensorflow_logs import silence_tensorflow

silence_tensorflow()
