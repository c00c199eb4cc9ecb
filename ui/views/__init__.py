"""The pages, one in each module."""
