"""The labels of a Bento and of its image that name the contents. `image` writes them, `k8s` reads them."""

COMMIT = "commit"
"""The full digest of the Git commit."""
MODEL = "model"
"""The model's tag in the BentoML store."""
MODEL_DIGEST = "model-digest"
"""SHA-256 of the model's manifest, in hexadecimal."""

IMAGE_BENTO = "text-classifier.bento"
"""The label of an image with the tag of its Bento."""
IMAGE_COMMIT = "org.opencontainers.image.revision"
IMAGE_MODEL = "text-classifier.model"
IMAGE_MODEL_DIGEST = "text-classifier.model-digest"
