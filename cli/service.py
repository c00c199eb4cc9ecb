"""The commands of the service, with their help."""

from cli import plain
from cli.console import new_app

app = new_app()
app.command(epilog="Example: `CLASSIFIER__API__PORT=9000 text-classifier serve`")(plain.serve)
app.command(epilog="Example: `text-classifier key`")(plain.key)
