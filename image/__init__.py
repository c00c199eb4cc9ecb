"""The Bento of this checkout, and the container image made from it."""
