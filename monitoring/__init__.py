"""Prometheus rules and a Grafana dashboard, made from the list of metrics, and the files that use them."""
