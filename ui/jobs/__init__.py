"""Batch jobs: processes of their own classify whole files, and the pages watch them."""

from ui.jobs.jobs import Job, Jobs
from ui.jobs.values import (
    CONFIDENCE_BINS,
    RETRIED,
    Busy,
    Choices,
    Export,
    ExportKind,
    Filter,
    JobError,
    Labelled,
    Order,
    OrderBy,
    Preview,
    ProblemKind,
    Progress,
    Result,
    Stage,
    Summary,
)

__all__ = [
    "CONFIDENCE_BINS",
    "RETRIED",
    "Busy",
    "Choices",
    "Export",
    "ExportKind",
    "Filter",
    "Job",
    "JobError",
    "Jobs",
    "Labelled",
    "Order",
    "OrderBy",
    "Preview",
    "ProblemKind",
    "Progress",
    "Result",
    "Stage",
    "Summary",
]
