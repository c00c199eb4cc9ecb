"""Compares the texts that a model classifies with the held-out texts that it was evaluated on."""
