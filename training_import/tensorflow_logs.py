"""Keep TensorFlow's own messages from the screen."""

import os


def silence_tensorflow() -> None:
    """Make TensorFlow print no messages of its own; call it before the first import of TensorFlow or Keras.

    oneDNN is turned off, because on some processors its message comes whatever the log level. It also rounds
    differently on different processors, so without it more machines give the same files.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
