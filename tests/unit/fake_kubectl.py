"""A `kubectl` that answers without a cluster, and the commands that it received."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from k8s import pruning

FAKE_KUBECTL = """#!/bin/sh
PATH=/usr/bin:/bin
printf '%s\\n' "$*" >> "$FAKE/log"
for answer in "$FAKE"/answers/*; do
    [ -f "$answer" ] || continue
    case "$*" in
        *"$(head -1 "$answer")"*)
            code=$(sed -n 2p "$answer")
            if [ "$code" = 0 ]; then sed -n '3,$p' "$answer"; else sed -n '3,$p' "$answer" >&2; fi
            case "$answer" in *.once) rm "$answer";; esac
            exit "$code";;
    esac
done
case "$*" in
    *jsonpath=*) ;;
    "get --raw "*) cat "$FAKE/kinds";;
    *go-template=*) printf '%s\\n' tls.crt keys key https there;;
    "get deployment "*) cat "$FAKE/deployment";;
    *"--output json") echo '{"items": []}';;
esac
exit 0
"""
"""It logs its arguments. A file in `answers` has a part of a command line, an exit code and the output.

The first file that fits answers.

By default the cluster knows every kind, has everything that is looked up, and runs two available pods.
"""

KINDS = (*(kind.__name__ for kind in pruning.KINDS), "Namespace", "PodMetrics")
TWO_PODS = {
    "metadata": {"name": "text-classifier"},
    "spec": {
        "replicas": 2,
        "progressDeadlineSeconds": 40,
        "selector": {"matchLabels": {"track": "stable"}},
        "template": {},
    },
    "status": {"availableReplicas": 2},
}


class Cluster:
    """The fake `kubectl`, which is alone on the PATH, and the commands that it received."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "answers").mkdir()
        program = folder / "kubectl"
        program.write_text(FAKE_KUBECTL)
        program.chmod(0o755)
        kinds = [{"kind": kind} for kind in KINDS]
        (folder / "kinds").write_text(json.dumps({"resources": kinds}))
        (folder / "deployment").write_text(json.dumps(TWO_PODS))

    def answers(self, part: str, output: str, *, exit_code: int = 0, once: bool = False) -> None:
        """Decide what every command that contains `part`, or the next one, prints, and how it ends."""
        number = len(list((self.folder / "answers").iterdir()))
        name = f"{number:02}{'.once' if once else ''}"
        (self.folder / "answers" / name).write_text(f"{part}\n{exit_code}\n{output}")

    def fails(self, part: str, message: str) -> None:
        """Make every command that contains `part` fail."""
        self.answers(part, f"{message}\n", exit_code=1)

    def lists(self, part: str, *items: Mapping[str, Any]) -> None:
        """Decide which objects a command finds."""
        self.answers(part, json.dumps({"items": items}))

    @property
    def log(self) -> list[str]:
        """Every command."""
        log = self.folder / "log"
        return log.read_text().splitlines() if log.exists() else []

    @property
    def commands(self) -> list[str]:
        """The commands that do not only read."""
        return [command for command in self.log if not command.startswith("get ")]
