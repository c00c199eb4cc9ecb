"""The Kubernetes manifests of the service: generated from one file of environments, rendered and deployed."""
