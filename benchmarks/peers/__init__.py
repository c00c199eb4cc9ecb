"""The servers that the service is compared with. Each serves the same artifact."""
