"""The object that sets the number of pods: a HorizontalPodAutoscaler, or KEDA's ScaledObject."""

from lightkube.generic_resource import GenericNamespacedResource, create_namespaced_resource
from lightkube.models.autoscaling_v2 import (
    ContainerResourceMetricSource,
    CrossVersionObjectReference,
    HorizontalPodAutoscalerBehavior,
    HorizontalPodAutoscalerSpec,
    HPAScalingPolicy,
    HPAScalingRules,
    MetricSpec,
    MetricTarget,
)
from lightkube.resources.autoscaling_v2 import HorizontalPodAutoscaler

from k8s.environment.sections import Environment, Keda, ScalingProfile
from k8s.objects.labels import STABLE, TRACK, metadata
from k8s.objects.pods import CONTAINER

ScaledObject = create_namespaced_resource("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects")


def autoscaler(environment: Environment) -> HorizontalPodAutoscaler:
    """Scale to keep CPU and memory at a percentage of each pod's requests."""
    settings = environment.autoscaler
    return HorizontalPodAutoscaler(
        metadata=metadata(environment, environment.name),
        spec=HorizontalPodAutoscalerSpec(
            scaleTargetRef=CrossVersionObjectReference(
                apiVersion="apps/v1", kind="Deployment", name=environment.name
            ),
            minReplicas=settings.min_pods,
            maxReplicas=settings.max_pods,
            metrics=[
                _utilization("cpu", settings.cpu_percent),
                _utilization("memory", settings.memory_percent),
            ],
            behavior=_behavior(settings.scaling),
        ),
    )


def scaled_object(environment: Environment, keda: Keda) -> GenericNamespacedResource:
    """Scale to keep the number of requests in progress in each pod of the stable track.

    The requests of a canary do not count, because its pods answer them and their number is fixed.
    """
    settings = environment.autoscaler
    pods = f'namespace="{environment.namespace}",{TRACK}="{STABLE}"'
    query = f"sum(classifier_requests_in_progress{{{pods}}})"
    return ScaledObject(
        metadata=metadata(environment, environment.name),
        spec={
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": environment.name},
            "minReplicaCount": settings.min_pods,
            "maxReplicaCount": settings.max_pods,
            "advanced": {
                "horizontalPodAutoscalerConfig": {"behavior": _behavior(settings.scaling).to_dict()}
            },
            "triggers": [
                {
                    "type": "prometheus",
                    "metricType": "AverageValue",
                    "metadata": {
                        "serverAddress": keda.prometheus,
                        "query": query,
                        "threshold": str(keda.requests_in_progress),
                    },
                }
            ],
        },
    )


def _utilization(resource: str, percent: int) -> MetricSpec:
    return MetricSpec(
        type="ContainerResource",
        containerResource=ContainerResourceMetricSource(
            container=CONTAINER,
            name=resource,
            target=MetricTarget(type="Utilization", averageUtilization=percent),
        ),
    )


def _behavior(profile: ScalingProfile) -> HorizontalPodAutoscalerBehavior:
    up, down = profile.up, profile.down
    return HorizontalPodAutoscalerBehavior(
        scaleUp=HPAScalingRules(
            stabilizationWindowSeconds=up.after_seconds,
            selectPolicy="Max",
            policies=[
                HPAScalingPolicy(type="Percent", value=up.percent, periodSeconds=up.every_seconds),
                HPAScalingPolicy(type="Pods", value=up.pods, periodSeconds=up.every_seconds),
            ],
        ),
        scaleDown=HPAScalingRules(
            stabilizationWindowSeconds=down.after_seconds,
            policies=[HPAScalingPolicy(type="Pods", value=down.pods, periodSeconds=down.every_seconds)],
        ),
    )
