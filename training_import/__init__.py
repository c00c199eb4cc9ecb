"""Make artifacts for the BentoML model store: from labelled texts, or from a foreign model."""
