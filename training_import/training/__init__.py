"""Train a model on labelled texts."""
