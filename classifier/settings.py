"""config.yaml and environment variables as one frozen tree of settings."""

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, SettingsConfigDict

from classifier.errors import SettingsError
from classifier.schema import MAX_TEXT_CHARS, MAX_TEXTS, TAG_PATTERN

ENV_PREFIX = "CLASSIFIER__"
CONFIG_PATH_VARIABLE = "CLASSIFIER_CONFIG"
DEFAULT_CONFIG_PATH = Path(__file__).parent.parent / "config.yaml"
BUNDLED_MODEL = Path(__file__).parent.parent / "models" / "imdb-sentiment"
SHOWN_CHARACTERS = 100
"""Of a setting's value in an error message."""
DAY_SECONDS = 86_400
"""The longest time that a setting may ask for."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _host_names(value: object) -> object:
    """Host names as YAML writes a list, or with commas between."""
    if isinstance(value, str):
        try:
            value = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ValueError("api.allowed_hosts must be host names with commas between") from None
    if value is None:
        return ()
    return [name.strip() for name in value.split(",")] if isinstance(value, str) else value


class ModelSettings(_Section):
    """Which model of the BentoML model store is served."""

    name: str = Field(default=BUNDLED_MODEL.name, pattern=TAG_PATTERN)
    version: str = Field(default="latest", pattern=TAG_PATTERN)

    @property
    def tag(self) -> str:
        """The tag in the BentoML model store."""
        return f"{self.name}:{self.version}"


class PreprocessingSettings(_Section):
    """How `train` cleans texts. Serving takes the artifact's own settings, never these."""

    strip_html: bool = True
    lowercase: bool = True
    remove_special_chars: bool = False
    remove_stopwords: bool = False
    max_tokens: int = Field(default=2000, ge=1, le=10_000)


class ApiSettings(_Section):
    """The HTTP edge."""

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8000, ge=1, le=65535)
    max_body_bytes: int = Field(default=2 * 1024 * 1024, ge=1024)
    max_held_bytes: int = Field(default=64 * 1024 * 1024, ge=1024 * 1024)
    max_connections: int = Field(default=12_000, ge=1)
    request_seconds: float = Field(default=30.0, gt=0, le=DAY_SECONDS)
    keep_alive_seconds: float = Field(default=75.0, gt=0, le=DAY_SECONDS)
    lame_duck_seconds: float = Field(default=0.0, ge=0, le=DAY_SECONDS)
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_host_names)] = ()
    keys_file: str = ""
    metrics_need_key: bool = False

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.max_held_bytes < 2 * self.max_body_bytes:
            raise ValueError(
                f"api.max_held_bytes is {self.max_held_bytes}; it must be at least twice api.max_body_bytes, "
                f"which is {self.max_body_bytes}"
            )
        return self


class InferenceSettings(_Section):
    """How texts are scored."""

    batch_size: int = Field(default=100, ge=1, le=10_000)
    confidence_threshold: float = Field(default=0.5, ge=0, le=1)


class BatchingSettings(_Section):
    """How the texts of concurrent callers wait and run together; `classifier.batching` has the laws."""

    max_batch_seconds: float = Field(default=0.02, gt=0, le=DAY_SECONDS)
    max_inline_seconds: float = Field(default=0.005, gt=0, le=DAY_SECONDS)
    max_waiting_texts: int = Field(default=10_000, ge=MAX_TEXTS)
    max_waiting_characters: int = Field(default=20_000_000, ge=MAX_TEXTS * MAX_TEXT_CHARS)
    max_waiting_seconds: float = Field(default=0.5, gt=0, le=DAY_SECONDS)
    deadline_seconds: float = Field(default=2.0, gt=0, le=DAY_SECONDS)
    drain_seconds: float = Field(default=20.0, ge=0, le=DAY_SECONDS)


class WorkerSettings(_Section):
    """The process that answers; `serving.supervision` watches it."""

    max_silent_seconds: float = Field(default=10.0, ge=2, le=DAY_SECONDS)


class LoggingSettings(_Section):
    """What the service logs, on standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["console", "json"] = "console"
    access: bool = False


class Settings(_Section):
    """Every setting."""

    model: ModelSettings = ModelSettings()
    preprocessing: PreprocessingSettings = PreprocessingSettings()
    api: ApiSettings = ApiSettings()
    inference: InferenceSettings = InferenceSettings()
    batching: BatchingSettings = BatchingSettings()
    worker: WorkerSettings = WorkerSettings()
    logging: LoggingSettings = LoggingSettings()


class _Variables(BaseSettings, Settings):
    """The same tree as environment variables name it."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_nested_delimiter="__")


def nearest(name: str, known: Iterable[str]) -> str:
    """Which of the known names, of which there is one at least, `name` was most probably meant to be."""
    return difflib.get_close_matches(name, list(known), n=1, cutoff=0)[0]


def _check_known(tree: Mapping[str, object], source: str) -> None:
    """Refuse a section or key that does not exist, and name the nearest that does."""
    sections = Settings.model_fields
    for section, keys in tree.items():
        if section not in sections:
            close = nearest(str(section), sections)
            raise SettingsError(f"{source}: there is no section {section!r}; the nearest is {close!r}")
        if keys is None:
            continue
        if not isinstance(keys, Mapping):
            raise SettingsError(f"{source}: section {section!r} is {keys!r}; it must hold keys and values")
        known = type(sections[section].default).model_fields
        for key in keys:
            if key not in known:
                close = nearest(str(key), known)
                raise SettingsError(
                    f"{source}: section {section!r} has no key {key!r}; the nearest is {close!r}"
                )


def _check_environment() -> None:
    misspelt = _misspelt()
    for variable in os.environ:
        source = f"environment variable {variable}"
        if variable.upper().startswith(ENV_PREFIX):
            section, separator, key = variable[len(ENV_PREFIX) :].lower().partition("__")
            _check_known({section: {key: None} if separator else {}}, source)
            if not separator:
                raise SettingsError(f"{source}: it names a section; a key follows it: {variable}__KEY")
        elif variable.upper() in misspelt:
            raise SettingsError(f"{source}: there is no such setting; it is {misspelt[variable.upper()]}")


def _misspelt() -> dict[str, str]:
    """Each setting's variable by its name with single underscores.

    Other names that begin alike are none of our business: Kubernetes sets some for a Service of that name.
    """
    names = [
        f"{ENV_PREFIX}{section}__{key}".upper()
        for section, field in Settings.model_fields.items()
        for key in type(field.default).model_fields
    ]
    return {
        spelling: name for name in names for spelling in (name.replace("__", "_"), name.replace("__", "_", 1))
    }


def load_settings(path: Path | None = None) -> Settings:
    """Read `path`, else the file that CLASSIFIER_CONFIG names, else config.yaml beside the project.

    Environment variables go over the file, and the file over the defaults.
    Raises SettingsError, which names the file or variable, the key, its value and the rule.
    """
    path = path or Path(os.environ.get(CONFIG_PATH_VARIABLE) or DEFAULT_CONFIG_PATH)
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: the configuration file cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a date such as 2024-13-45
        raise SettingsError(f"{path}: the configuration file is not YAML: {error}") from error
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise SettingsError(f"{path}: the configuration file must hold sections; it holds {tree!r}")
    _check_known(tree, str(path))
    _check_environment()
    variables = EnvSettingsSource(_Variables)()
    try:
        return Settings(
            **{
                section: {**(tree.get(section) or {}), **variables.get(section, {})}
                for section in Settings.model_fields
            }
        )
    except ValidationError as error:
        broken = error.errors()[0]
        place = ".".join(map(str, broken["loc"]))
        variable = ENV_PREFIX + "__".join(map(str, broken["loc"])).upper()
        given = next((name for name in os.environ if name.upper() == variable), None)
        source = f"environment variable {given}" if given else str(path)
        if broken["type"] == "value_error":  # It concerns several settings, and names them.
            raise SettingsError(f"{source}: {broken['ctx']['error']}") from error
        value = repr(broken["input"])
        shown = (
            value
            if len(value) <= SHOWN_CHARACTERS
            else f"{value[:SHOWN_CHARACTERS]}… ({len(value)} characters)"
        )
        raise SettingsError(f"{source}: {place} is {shown}: {broken['msg']}") from error
