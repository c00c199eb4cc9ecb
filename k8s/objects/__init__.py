"""The Kubernetes objects of an environment: one pure function makes one typed object."""
