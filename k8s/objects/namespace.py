"""The namespace of an environment."""

from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Namespace

from k8s.environment.sections import Environment
from k8s.objects.labels import object_labels


def namespace(environment: Environment) -> Namespace:
    """The namespace. Its pod security admits only pods that keep the `restricted` standard."""
    modes = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    return Namespace(
        metadata=ObjectMeta(name=environment.namespace, labels=object_labels(environment) | modes)
    )
