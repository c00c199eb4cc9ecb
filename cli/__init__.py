"""The command line: one program, `text-classifier`, with a subcommand for each task."""
