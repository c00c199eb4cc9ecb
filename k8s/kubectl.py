"""kubectl, run as a program on the cluster that KUBECONFIG names."""

import json
import shlex
import subprocess
import sys
from typing import Any

from lightkube.core.resource import NamespacedResource, api_info

from k8s.errors import DeploymentError, ReadForbidden, UnknownKind

PROGRAM = "kubectl"

_NOT_SERVED = ("the server doesn't have a resource type", "the server could not find the requested resource")
"""How kubectl words that the cluster has no such kind."""
_FORBIDDEN = "(Forbidden)"


def change(*arguments: str) -> None:
    """Run kubectl after printing the command, and let it print; raises DeploymentError if it fails."""
    say(shlex.join([PROGRAM, *arguments]))
    if not succeeds(*arguments):
        raise DeploymentError(f"`{shlex.join([PROGRAM, *arguments[:2]])}` failed, for the reason above")


def rehearse(*arguments: str) -> None:
    """Let the API server check a command's changes without making them.

    Raises DeploymentError with everything that it would refuse.
    """
    done = _run(*arguments, "--dry-run=server", captures=True)
    if done.returncode:
        # A line that starts with a brace repeats the whole patch that was refused.
        refusals = [line for line in done.stderr.splitlines() if not line.startswith(("Warning: ", "{"))]
        listed = "\n".join(refusals)
        raise DeploymentError(f"the cluster would not accept this; nothing was applied:\n{listed}")


def succeeds(*arguments: str) -> bool:
    """Run kubectl and let it print; returns whether it succeeded. Raises DeploymentError if it is missing."""
    return _run(*arguments, captures=False).returncode == 0


def read(*arguments: str) -> str:
    """What kubectl prints; raises DeploymentError with its last line, without "error: ", if it fails.

    The error is UnknownKind if the cluster has no such kind, and ReadForbidden if it refuses the user.
    """
    done = _run(*arguments, captures=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"{PROGRAM} failed without a message"])[-1]
        raise _error_of(last)(last.removeprefix("error: "))
    return done.stdout


def resource(kind: type[NamespacedResource]) -> str:
    """The name of a kind that is unambiguous among all groups, as in `ingresses.networking.k8s.io`."""
    info = api_info(kind)
    return f"{info.plural}.{info.resource.group}".rstrip(".")


def read_json(*arguments: str) -> Any:
    """The JSON that the API server answers, through kubectl; raises DeploymentError as `read` does."""
    return json.loads(read(*arguments, "--output", "json"))


def say(line: str) -> None:
    """Print a line where it does not mix with a command's output."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def _error_of(line: str) -> type[DeploymentError]:
    """The error that kubectl's last line means."""
    if any(words in line for words in _NOT_SERVED):
        return UnknownKind
    return ReadForbidden if _FORBIDDEN in line else DeploymentError


def _run(*arguments: str, captures: bool) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run([PROGRAM, *arguments], capture_output=captures, text=True, check=False)
    except OSError as error:
        raise DeploymentError(f"{PROGRAM} cannot be run: {error.strerror}; it must be on the PATH") from error
