"""kubectl, run as a program on the cluster that KUBECONFIG names."""

import shlex
import subprocess
import sys

from k8s.errors import DeploymentError

PROGRAM = "kubectl"


def change(*arguments: str) -> None:
    """Run kubectl after printing the command, and let it print; raises DeploymentError if it fails."""
    print(shlex.join([PROGRAM, *arguments]), file=sys.stderr, flush=True)  # noqa: T201
    if not succeeds(*arguments):
        raise DeploymentError(f"`{shlex.join([PROGRAM, *arguments[:2]])}` failed, for the reason above")


def succeeds(*arguments: str) -> bool:
    """Run kubectl and let it print; returns whether it succeeded. Raises DeploymentError if it is missing."""
    return _run(*arguments, captures=False).returncode == 0


def read(*arguments: str) -> str:
    """What kubectl prints; raises DeploymentError with its last line if it fails."""
    done = _run(*arguments, captures=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"{PROGRAM} failed without a message"])[-1]
        raise DeploymentError(last)
    return done.stdout


def _run(*arguments: str, captures: bool) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run([PROGRAM, *arguments], capture_output=captures, text=True, check=False)
    except OSError as error:
        raise DeploymentError(f"{PROGRAM} cannot be run: {error.strerror}; it must be on the PATH") from error
