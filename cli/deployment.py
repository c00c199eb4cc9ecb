"""Commands that render the Kubernetes manifests, and that deploy them to the cluster of KUBECONFIG."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import err, new_app
from cli.options import given, require

if TYPE_CHECKING:
    from k8s.manifests import Options

app = new_app()


def _named(help_text: str) -> Any:
    """An option that may be missing, but not empty."""
    return typer.Option(help=help_text, callback=given, show_default=False)


Env = Annotated[str, typer.Option(help="Name of the environment.")]
Image = Annotated[str | None, _named("Image to run: repository:tag or repository@sha256:digest.")]
Bento = Annotated[
    str | None,
    _named("Bento that the image must have been made from. Needed only if the image cannot be read."),
]
Environments = Annotated[
    str | None, _named("File that describes the environments. Default: k8s/environments.yaml.")
]
CanaryVersion = Annotated[str | None, _named("Tag or sha256:digest of the canary's image.")]
Weight = Annotated[
    int | None,
    typer.Option(help="The canary's share of the requests, in percent. Default: 10.", show_default=False),
]


@app.command(epilog="Example: `text-classifier manifests --env staging --image example.com/classifier:2`")
def manifests(
    env: Annotated[
        str | None, typer.Option(help="Name of the environment. Default: all.", show_default=False)
    ] = None,
    image: Image = None,
    bento: Bento = None,
    canary: CanaryVersion = None,
    weight: Weight = None,
    environments: Environments = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the environments' folders. Default: k8s/rendered.", show_default=False),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 if a file is stale.")
    ] = False,
) -> None:
    """Render the manifests of an environment into a folder, for `kubectl apply --kustomize`."""
    from k8s.environment.loading import environment_names
    from k8s.manifests import check as check_stale
    from k8s.manifests import render_environment
    from k8s.rendering import RENDERED

    options = _options(image, bento, environments, canary, weight)
    folder = RENDERED if out is None else out
    if options.for_one and env is None:
        raise typer.BadParameter(f"{', '.join(options.for_one)} is for one environment; --env must name it")
    if weight is not None and canary is None:
        raise typer.BadParameter("--weight is the share of a --canary, which is not given")
    if options.has_other_environments and folder.resolve() == RENDERED.resolve():
        raise typer.BadParameter(
            f"{RENDERED.name} contains the project's own environments; --out must name another folder"
        )
    names = environment_names(options.environments) if env is None else (env,)
    rendered = [render_environment(name, options) for name in names]
    if check:
        check_stale(rendered, folder)
        return
    for one in rendered:
        for line in (*one.remarks, one.write(folder)):
            err.print(line, highlight=False, soft_wrap=True)


@app.command(epilog="Example: `text-classifier deploy --env staging --image example.com/classifier:2`")
def deploy(
    env: Env = "local", image: Image = None, bento: Bento = None, environments: Environments = None
) -> None:
    """Apply an environment to the cluster of KUBECONFIG, and wait until it is rolled out.

    Without --image and --environments, the committed manifests are applied.
    """
    from k8s.deployment import deploy

    if bento is not None:
        require("IMAGE", image)
    deploy(env, _options(image, bento, environments))


@app.command(epilog="Example: `text-classifier rollout-status --env staging`")
def rollout_status(env: Env = "local") -> None:
    """Wait until a rollout is complete, or until it fails."""
    from k8s.waiting import wait_for_rollout

    wait_for_rollout(env)


@app.command(epilog="Example: `text-classifier rollback --env staging`")
def rollback(env: Env = "local") -> None:
    """Return to the previous version, and wait until it is rolled out. A second rollback undoes the first."""
    from k8s.deployment import roll_back

    roll_back(env)


@app.command(
    epilog="Example: `text-classifier canary --env staging --image example.com/classifier:1 --version 2`"
)
def canary(
    env: Env = "local",
    image: Image = None,
    version: CanaryVersion = None,
    weight: Weight = None,
    bento: Bento = None,
    environments: Environments = None,
) -> None:
    """Give another version of the image a share of the requests. --image is the image that runs now."""
    from k8s.deployment import deploy

    require("IMAGE", image)
    require("VERSION", version)
    deploy(env, _options(image, bento, environments, version, weight))


@app.command(epilog="Example: `text-classifier promote --env staging --image example.com/classifier:2`")
def promote(
    env: Env = "local", image: Image = None, bento: Bento = None, environments: Environments = None
) -> None:
    """Give the new image all requests, then delete the canary. --image is the canary's image."""
    _end_canary(env, image, bento, environments)


@app.command(epilog="Example: `text-classifier abort --env staging --image example.com/classifier:1`")
def abort(
    env: Env = "local", image: Image = None, bento: Bento = None, environments: Environments = None
) -> None:
    """Give the old image all requests, then delete the canary. --image is the image that ran before."""
    _end_canary(env, image, bento, environments)


def _end_canary(env: str, image: str | None, bento: str | None, environments: str | None) -> None:
    from k8s.deployment import deploy

    require("IMAGE", image)
    deploy(env, _options(image, bento, environments))


def _options(
    image: str | None,
    bento: str | None,
    environments: str | None,
    canary: str | None = None,
    weight: int | None = None,
) -> "Options":
    from k8s.environment.loading import ENVIRONMENTS_PATH
    from k8s.manifests import Options

    path = ENVIRONMENTS_PATH if environments is None else Path(environments)
    return Options(image, bento, canary, weight, path)
