"""Exports a checkpoint of Hugging Face to ONNX; it runs in `.venv-export`, which `make export-deps` makes."""
