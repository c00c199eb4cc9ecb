"""The service's own configuration as its pods get it."""

import hashlib

import yaml

from classifier.settings import Settings

CONFIG_FILE = "config.yaml"
DIGEST_CHARACTERS = 10
"""Of the content's digest, in the ConfigMap's name."""


def config_text(settings: Settings) -> str:
    """The file that `classifier.settings` reads, with every setting."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)


def config_digest(settings: Settings) -> str:
    """SHA-256 of the file, in hexadecimal."""
    return hashlib.sha256(config_text(settings).encode()).hexdigest()


def config_map_name(application: str, settings: Settings) -> str:
    """Another content has another name, so that each pod keeps what it was made with."""
    return f"{application}-{config_digest(settings)[:DIGEST_CHARACTERS]}"
