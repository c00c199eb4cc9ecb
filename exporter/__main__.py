"""The command line of the exporter: `python -m exporter --help`."""

import argparse
import contextlib
import json
import os
import sys
from pathlib import Path

# These come before any import of transformers, which reads them only once.
os.environ.update(
    HF_HUB_OFFLINE="1",
    TRANSFORMERS_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    TOKENIZERS_PARALLELISM="false",
    TRANSFORMERS_VERBOSITY="critical",
)

from exporter.errors import RefusedCheckpoint

FAILED = 2
"""The exit code of every error; the last line of standard error says why."""


def main() -> int:
    """Run a command, and print its result to standard output as JSON."""
    options = _parser().parse_args()
    texts = json.load(sys.stdin) if options.command == "predict" else []
    try:
        with contextlib.redirect_stdout(
            sys.stderr
        ):  # so that what libraries print is not taken for the result
            result = _run(options, texts)
    except RefusedCheckpoint as error:
        return _fail(str(error))
    except Exception as error:
        return _fail(f"{type(error).__name__}: {error}")
    json.dump(result, sys.stdout)
    return 0


def _run(options: argparse.Namespace, texts: list[str]) -> object:
    if options.command == "export":
        from exporter.export import export

        return export(options.checkpoint, options.output, options.trust_pickle)
    if options.command == "predict":
        from exporter.predict import predict

        return predict(options.checkpoint, texts, options.trust_pickle, options.max_tokens)
    from exporter.samples import write_checkpoints, write_samples

    return {"checkpoints": write_checkpoints, "samples": write_samples}[options.command](options.output)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m exporter", description="Export checkpoints to ONNX.")
    commands = parser.add_subparsers(dest="command", required=True)
    exports = commands.add_parser(
        "export", help="write model.onnx, tokenizer.json and config.json; print notes"
    )
    exports.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    exports.add_argument("output", type=Path, metavar="OUTPUT")
    predicts = commands.add_parser(
        "predict", help="read a JSON list of texts, print a list of lists of probabilities"
    )
    predicts.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    predicts.add_argument("--max-tokens", type=int, required=True, help="most tokens of a text that are read")
    for command in (exports, predicts):
        command.add_argument(
            "--trust-pickle", action="store_true", help="read weights from pytorch_model.bin, but no code"
        )
    made = commands.add_parser("checkpoints", help="make small random checkpoints for tests")
    made.add_argument("output", type=Path, metavar="OUTPUT")
    samples = commands.add_parser("samples", help="make the exports in tests/data/transformers")
    samples.add_argument("output", type=Path, metavar="OUTPUT")
    return parser


def _fail(message: str) -> int:
    sys.stderr.write(f"{' '.join(message.split())}\n")
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
