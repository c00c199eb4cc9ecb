"""Read config.yaml and environment variables into one frozen tree of settings."""

import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from classifier.errors import SettingsError
from classifier.schema import MAX_TEXT_CHARS, MAX_TEXTS, TAG_PATTERN
from classifier.validation import first_error, is_misspelt, nearest, say_nearest, unknown_key

ENV_PREFIX = "CLASSIFIER__"
CONFIG_PATH_VARIABLE = "CLASSIFIER_CONFIG"
DEFAULT_CONFIG_PATH = Path(__file__).parent.parent / "config.yaml"
BUNDLED_MODEL = Path(__file__).parent.parent / "models" / "imdb-sentiment"
DAY_SECONDS = 86_400
"""The longest time that a setting can have."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _host_names(value: object) -> object:
    """Accept host names as a YAML list, or as text with commas between them."""
    if isinstance(value, str):
        try:
            value = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ValueError("api.allowed_hosts must be host names with commas between them") from None
    if value is None:
        return ()
    return [name.strip() for name in value.split(",")] if isinstance(value, str) else value


class ModelSettings(_Section):
    """The model of the BentoML model store that is served."""

    name: str = Field(default=BUNDLED_MODEL.name, pattern=TAG_PATTERN)
    version: str = Field(default="latest", pattern=TAG_PATTERN)

    @property
    def tag(self) -> str:
        """The tag in the BentoML model store."""
        return f"{self.name}:{self.version}"


class PreprocessingSettings(_Section):
    """How training cleans texts. Serving uses the settings in the artifact, never these."""

    strip_html: bool = True
    lowercase: bool = True
    remove_special_chars: bool = False
    remove_stopwords: bool = False
    mark_negation: bool = True
    max_tokens: int = Field(default=2000, ge=1, le=10_000)


class ApiSettings(_Section):
    """How the service listens and what it accepts."""

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=3000, ge=1, le=65535)
    max_body_bytes: int = Field(default=2 * 1024 * 1024, ge=1024)
    max_held_bytes: int = Field(default=64 * 1024 * 1024, ge=1024 * 1024)
    max_connections: int = Field(default=12_000, ge=1)
    request_seconds: float = Field(default=30.0, gt=0, le=DAY_SECONDS)
    keep_alive_seconds: float = Field(default=75.0, gt=0, le=DAY_SECONDS)
    max_connection_requests: int = Field(default=0, ge=0)
    lame_duck_seconds: float = Field(default=0.0, ge=0, le=DAY_SECONDS)
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_host_names)] = ()
    keys_file: str = ""
    metrics_need_key: bool = False
    server_timing: bool = False

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.max_held_bytes < 2 * self.max_body_bytes:
            raise ValueError(
                f"api.max_held_bytes is {self.max_held_bytes}; it must be at least twice api.max_body_bytes, "
                f"which is {self.max_body_bytes}"
            )
        return self


class InferenceSettings(_Section):
    """How texts are scored, and when an answer counts as confident."""

    batch_size: int = Field(default=100, ge=1, le=10_000)
    confidence_threshold: float = Field(default=0.5, ge=0, le=1)


class RuntimeSettings(_Section):
    """How the model runs."""

    threads: int = Field(default=1, ge=1, le=256)


class ExplainSettings(_Section):
    """How much an explanation may cost; see `classifier.explain`."""

    max_runs: int = Field(default=250, ge=20, le=1000)


class DriftSettings(_Section):
    """How the last texts are compared with the held-out texts of the model; see docs/drift.md."""

    window_texts: int = Field(default=1000, ge=200, le=1_000_000)
    psi_alarm: float = Field(default=0.2, gt=0)


class FeedbackSettings(_Section):
    """Where predictions are kept for clients that send the right labels later; see docs/drift.md."""

    path: str = ""
    keep_days: float = Field(default=30.0, gt=0, le=3650)
    max_rows: int = Field(default=1_000_000, ge=1, le=1_000_000_000)


class BatchingSettings(_Section):
    """How the texts of concurrent clients wait and run together; `classifier.batching` states the rules."""

    max_batch_seconds: float = Field(default=0.02, gt=0, le=DAY_SECONDS)
    max_inline_seconds: float = Field(default=0.005, gt=0, le=DAY_SECONDS)
    max_waiting_texts: int = Field(default=10_000, ge=MAX_TEXTS)
    max_waiting_characters: int = Field(default=20_000_000, ge=MAX_TEXTS * MAX_TEXT_CHARS)
    max_waiting_seconds: float = Field(default=0.5, gt=0, le=DAY_SECONDS)
    deadline_seconds: float = Field(default=2.0, gt=0, le=DAY_SECONDS)
    drain_seconds: float = Field(default=20.0, ge=0, le=DAY_SECONDS)


class WorkerSettings(_Section):
    """The process that answers requests; `serving.process.supervision` watches it."""

    max_silent_seconds: float = Field(default=10.0, ge=2, le=DAY_SECONDS)


class LoggingSettings(_Section):
    """What the service logs on standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["console", "json"] = "console"
    access_share: float = Field(default=0.0, ge=0, le=1)
    texts: bool = False


class TracingSettings(_Section):
    """Where spans are sent; without an endpoint nothing is traced."""

    endpoint: str = ""
    sampled_share: float = Field(default=1.0, ge=0, le=1)
    clients_decide: bool = True

    @field_validator("endpoint")
    @classmethod
    def _is_url(cls, endpoint: str) -> str:
        if endpoint and not re.fullmatch(r"https?://[^\s/]+\S*", endpoint):
            raise ValueError(
                f"tracing.endpoint is {endpoint!r}; it must begin with http:// or https://, because spans "
                "are sent in OTLP over HTTP (usually to port 4318), not over gRPC"
            )
        return endpoint


class Settings(_Section):
    """All settings."""

    model: ModelSettings = ModelSettings()
    preprocessing: PreprocessingSettings = PreprocessingSettings()
    api: ApiSettings = ApiSettings()
    inference: InferenceSettings = InferenceSettings()
    runtime: RuntimeSettings = RuntimeSettings()
    explain: ExplainSettings = ExplainSettings()
    drift: DriftSettings = DriftSettings()
    feedback: FeedbackSettings = FeedbackSettings()
    batching: BatchingSettings = BatchingSettings()
    worker: WorkerSettings = WorkerSettings()
    logging: LoggingSettings = LoggingSettings()
    tracing: TracingSettings = TracingSettings()


class _Sources(BaseSettings, Settings):
    """The same tree, made from a file's values, which environment variables override."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_nested_delimiter="__")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put environment variables before the file, whose values are the arguments."""
        return env_settings, init_settings


def _keys_of(section: str) -> Collection[str]:
    model: _Section = Settings.model_fields[section].default
    return type(model).model_fields


def _check_known(tree: Mapping[str, object], source: str) -> None:
    """Refuse a section or key that does not exist, and name the nearest that does."""
    sections = Settings.model_fields
    for section, keys in tree.items():
        if section not in sections:
            raise SettingsError(
                f"{source}: there is no section {section!r}; {say_nearest(str(section), sections)}"
            )
        if keys is None:
            continue
        if not isinstance(keys, Mapping):
            raise SettingsError(f"{source}: section {section!r} is {keys!r}; it must hold keys and values")
        for key in keys:
            if key not in _keys_of(section):
                raise SettingsError(f"{source}: {unknown_key(key, _keys_of(section), section)}")


def _check_environment() -> None:
    """Refuse a variable that looks like a misspelt setting; variables of other programs are not checked."""
    sections = Settings.model_fields
    variables = [f"{ENV_PREFIX}{name}__{key}".upper() for name in sections for key in _keys_of(name)]
    for variable in os.environ:
        source = f"environment variable {variable}"
        if variable.upper().startswith(ENV_PREFIX):
            section, separator, key = variable[len(ENV_PREFIX) :].lower().partition("__")
            _check_known({section: {key: None} if separator else {}}, source)
            if not separator:
                raise SettingsError(f"{source}: it names a section; a key must follow, as in {variable}__KEY")
        elif (meant := _meant(variable.upper(), variables)) is not None:
            raise SettingsError(f"{source}: there is no such setting; it is {meant}")


def _meant(name: str, variables: Sequence[str]) -> str | None:
    """Return the variable that a misspelt name was meant to be; None for a name of another program.

    A name is misspelt if it has single underscores where ours are double, or if its prefix is one or two
    letters away from ours. Other names that begin like ours are not checked: Kubernetes sets
    CLASSIFIER_PORT and the like for a Service of that name.
    """
    for variable in variables:
        if name in {variable.replace("__", "_"), variable.replace("__", "_", 1)}:
            return variable
    prefix, separator, setting = name.partition("__")
    if separator and is_misspelt(prefix, ENV_PREFIX.removesuffix("__")):
        return nearest(f"{ENV_PREFIX}{setting}", variables)
    return None


def _read_file(path: Path) -> dict[str, object]:
    """Read the sections of a configuration file; raises SettingsError, which names the file."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: the configuration file cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a date such as 2024-13-45
        raise SettingsError(f"{path}: the configuration file is not YAML: {error}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise SettingsError(f"{path}: the configuration file must hold sections; it holds {tree!r}")
    _check_known(tree, str(path))
    return {section: keys for section, keys in tree.items() if keys is not None}


def _source(path: Path, loc: Sequence[str | int]) -> str:
    """Say where the setting at `loc` comes from; a section may come from the file and from variables."""
    variable = f"{ENV_PREFIX}{'__'.join(map(str, loc))}".upper()
    given = next((name for name in os.environ if name.upper() == variable), None)
    if given is not None:
        return f"environment variable {given}"
    inside = sorted(name for name in os.environ if name.upper().startswith(f"{variable}__"))
    return " and ".join([str(path), *inside])


def load_settings(path: Path | None = None) -> Settings:
    """Read the settings from `path`, else from the file that CLASSIFIER_CONFIG names, else from config.yaml.

    Environment variables override the file, and the file overrides the defaults.
    Raises SettingsError, which names the file or variable, the key, its value and the rule.
    """
    path = path or Path(os.environ.get(CONFIG_PATH_VARIABLE) or DEFAULT_CONFIG_PATH)
    content = _read_file(path)
    _check_environment()
    try:
        merged = _Sources(**content)  # type: ignore[arg-type]
    except ValidationError as error:
        broken = first_error(error)
        source = _source(path, broken.loc)
        sentence = broken.rule if broken.names_its_values else broken.with_value()
        raise SettingsError(f"{source}: {sentence}") from error
    return Settings(**{section: getattr(merged, section) for section in Settings.model_fields})
