"""Labelled texts in, an artifact out."""
