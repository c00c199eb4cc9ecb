"""The labels of a Bento that say what it contains. `image` writes them, and `k8s` reads them."""

COMMIT = "commit"
"""The full digest of the Git commit."""
MODEL = "model"
"""The model's tag in the BentoML store."""
MODEL_DIGEST = "model-digest"
"""SHA-256 of the model's manifest, in hexadecimal."""
