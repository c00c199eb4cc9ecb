"""What the service reports about itself: metrics, log lines, traces and timings."""
