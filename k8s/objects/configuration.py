"""The service's own configuration, as its pods read it."""

import hashlib

import yaml
from lightkube.resources.core_v1 import ConfigMap

from classifier.settings import Settings
from k8s.environment.sections import Environment
from k8s.environment.values import CONFIG_DIGEST_CHARACTERS
from k8s.objects.labels import metadata

CONFIG_FILE = "config.yaml"


def config_map(environment: Environment) -> ConfigMap:
    """The service's configuration. It is immutable: a changed configuration is a new ConfigMap."""
    return ConfigMap(
        metadata=metadata(environment, config_map_name(environment)),
        data={CONFIG_FILE: config_text(environment.config)},
        immutable=True,
    )


def config_text(settings: Settings) -> str:
    """The content of the file that `classifier.settings` reads, with every setting."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)


def config_digest(settings: Settings) -> str:
    """SHA-256 of the file, in hexadecimal."""
    return hashlib.sha256(config_text(settings).encode()).hexdigest()


def config_map_name(environment: Environment) -> str:
    """The name ends in the content's digest, so that each pod keeps the configuration it was created with."""
    return f"{environment.name}-{config_digest(environment.config)[:CONFIG_DIGEST_CHARACTERS]}"
