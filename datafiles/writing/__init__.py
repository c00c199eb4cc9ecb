"""Writes tables for download."""
