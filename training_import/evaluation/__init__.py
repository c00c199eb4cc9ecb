"""Measure how good a model is on labelled texts."""
