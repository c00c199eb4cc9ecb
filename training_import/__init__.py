"""Data or a foreign model in, an artifact in the BentoML model store out."""
