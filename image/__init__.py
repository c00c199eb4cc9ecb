"""The Bento of this checkout and the container image made of it."""
