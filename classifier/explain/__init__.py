"""Why a model predicted a label: what each part of a text added, with its place in the text."""
