"""The settings of the client, which are environment variables."""

from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import AnyHttpUrl, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from classifier.settings import DAY_SECONDS

_STATE = Path("~/.local/state/text-classifier-ui")


class Settings(BaseSettings):
    """Which service is asked, and how much the batch jobs of all visitors may use together."""

    model_config = SettingsConfigDict(env_prefix="CLASSIFIER_", env_ignore_empty=True, frozen=True)

    url: AnyHttpUrl = AnyHttpUrl("http://127.0.0.1:3000")
    """CLASSIFIER_URL: the address of the service, with its path if a proxy gives it one."""
    api_key: SecretStr | None = None
    """CLASSIFIER_API_KEY: the key that the service wants, if it wants one. No page shows it."""

    ui_public_url: AnyHttpUrl | None = None
    """CLASSIFIER_UI_PUBLIC_URL: the address in code to copy, if visitors reach the service at another one."""
    ui_jobs_folder: Path = _STATE / "jobs"
    """CLASSIFIER_UI_JOBS_FOLDER: where jobs keep their files."""
    ui_max_jobs: Annotated[int, Field(ge=1)] = 50
    """Most jobs that are kept. A new one deletes the oldest that has ended."""
    ui_max_jobs_bytes: Annotated[int, Field(ge=1)] = 4 * 2**30
    """Most bytes of the files of all jobs together."""
    ui_max_job_days: Annotated[float, Field(gt=0, le=365)] = 7.0
    """After so many days without a change, a job is deleted."""
    ui_running_jobs: Annotated[int, Field(ge=1, le=64)] = 2
    """Most jobs that run at the same time; further ones wait for their turn."""
    ui_requests_in_flight: Annotated[int, Field(ge=1, le=64)] = 4
    """Most requests of one job that are sent before the first is answered."""

    @property
    def address(self) -> str:
        """The address of the service without a slash at its end."""
        return str(self.url).rstrip("/")

    @property
    def public_address(self) -> str:
        """The address of the service for visitors."""
        return str(self.ui_public_url or self.url).rstrip("/")

    @property
    def jobs_folder(self) -> Path:
        """The folder of the jobs, with `~` replaced."""
        return self.ui_jobs_folder.expanduser()

    @property
    def max_job_seconds(self) -> float:
        """`ui_max_job_days` in seconds."""
        return self.ui_max_job_days * DAY_SECONDS


@cache
def settings() -> Settings:
    """The settings of this process, which never change. Raises pydantic.ValidationError."""
    return Settings()
