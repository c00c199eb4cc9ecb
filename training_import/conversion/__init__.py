"""A foreign model in, an artifact that answers as the model does out."""
