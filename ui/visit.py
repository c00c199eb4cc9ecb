"""The job that the address of a page names, and the other jobs of this visit."""

import streamlit as st

from ui.frame import is_entered, jobs, plain
from ui.jobs import Job
from ui.settings import settings


def job_of_address() -> Job | None:
    """The job that the address names, if there is one; if it is gone, the page says so.

    Who comes from another page, whose links do not name the job, finds the last one.
    """
    job_id = st.query_params.get("job")
    if not job_id and is_entered() and (last := st.session_state.get("job")):
        st.query_params["job"] = job_id = last
    st.session_state["job"] = job_id
    if not job_id:
        return None
    job = jobs().find(job_id)
    if job is None:
        _visited().pop(job_id, None)
        st.warning(
            f"There is no such job any more. Jobs are kept for {settings().ui_max_job_days:g} days after "
            "their last change, and the oldest make room for new ones.",
            icon=":material/search_off:",
        )
    else:
        _visited()[job.id] = job.name
    return job


def open_job(job: Job | None) -> None:
    """Let the address name another job, or none; the page changes with the next run of its script."""
    if job is None:
        st.query_params.clear()
    else:
        st.query_params.from_dict({"job": job.id})


def forget_job(job: Job) -> None:
    """Take a job off the list of this visit."""
    _visited().pop(job.id, None)


def list_jobs() -> None:
    """Offer the jobs of this visit, the newest first. Nobody else sees this list."""
    if not _visited():
        return
    st.header("Jobs of this visit", anchor=False)
    for job_id, name in reversed(_visited().items()):
        st.button(
            plain(name),
            key=f"job-{job_id}",
            icon=":material/folder_open:",
            on_click=st.query_params.from_dict,
            args=({"job": job_id},),
        )


def _visited() -> dict[str, str]:
    """The names of the jobs' files by the ids of the jobs."""
    visited: dict[str, str] = st.session_state.setdefault("jobs", {})
    return visited
