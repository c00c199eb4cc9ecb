"""The files of ended jobs, sent in pieces: Streamlit's own downloads would be in memory as a whole.

Who knows the id of a job, which cannot be guessed, can have its files.
"""

from contextlib import suppress
from typing import get_args
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from ui.jobs import ExportKind, Job, JobError, Jobs
from ui.settings import settings

MEDIA_TYPES: dict[ExportKind, str] = {
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}

_HEADERS = {
    "content-encoding": "identity",  # Streamlit would compress it, which stops all pages meanwhile
    "cache-control": "no-store",
}


def download_address(job: Job, kind: ExportKind) -> str:
    """Where the file of a job is, relative to any page."""
    return f"downloads/{quote(job.id)}/{kind}"


async def _download(request: Request) -> Response:
    kind = request.path_params["kind"]
    found = None
    if kind in get_args(ExportKind):
        with suppress(JobError):  # it was deleted just now, or its database is damaged
            found = await run_in_threadpool(_made_file, request.path_params["job"], kind)
    if found is None:
        return PlainTextResponse("There is no such file any more; make it again on the page of the job.", 404)
    path, name = found
    return FileResponse(path, filename=name, media_type=MEDIA_TYPES[kind], headers=_HEADERS)


def _made_file(job_id: str, kind: ExportKind) -> tuple[str, str] | None:
    """The path and the name of a file that is made already."""
    job = Jobs(settings()).find(job_id)
    export = job.export(kind) if job else None
    if job is None or export is None or export.path is None:
        return None
    return str(export.path), f"{job.name.partition('.')[0] or 'file'}-classified.{kind}"


DOWNLOADS = Route("/downloads/{job}/{kind}", _download)
