"""Settings from config.yaml, the environment and the defaults."""

import os
import re
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from classifier.errors import SettingsError
from classifier.settings import DEFAULT_CONFIG_PATH, Settings, load_settings


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in list(os.environ):
        if variable.upper().startswith("CLASSIFIER_"):
            monkeypatch.delenv(variable)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """An empty configuration file."""
    path = tmp_path / "settings.yaml"
    path.write_text("")
    return path


# Which source a value comes from


def test_the_default_file_states_every_default() -> None:
    assert yaml.safe_load(DEFAULT_CONFIG_PATH.read_text(encoding="utf-8")) == Settings().model_dump(
        mode="json"
    )


def test_the_default_file_equals_the_defaults() -> None:
    assert load_settings() == Settings()


def test_the_default_file_has_a_line_for_every_setting() -> None:
    lines = DEFAULT_CONFIG_PATH.read_text(encoding="utf-8").splitlines()
    stated = {match[1] for line in lines if (match := re.match(r"  (\w+): \S", line))}
    assert stated == {key for section in Settings().model_dump().values() for key in section}


@pytest.mark.parametrize("content", ["", "# only a comment\n", "api:\n", "{}"])
def test_settings_that_a_file_leaves_out_keep_their_defaults(config: Path, content: str) -> None:
    config.write_text(content)
    assert load_settings(config) == Settings()


def test_the_file_overrides_the_default(config: Path) -> None:
    config.write_text("api:\n  port: 9000\n")
    assert load_settings(config).api.port == 9000


def test_a_key_in_the_file_does_not_change_other_keys(config: Path) -> None:
    config.write_text("api:\n  port: 9000\n")
    assert load_settings(config).api.host == "127.0.0.1"


def test_the_environment_overrides_the_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("api:\n  port: 9000\n")
    monkeypatch.setenv("CLASSIFIER__API__PORT", "9001")
    assert load_settings(config).api.port == 9001


def test_a_variable_does_not_change_other_keys(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("api:\n  port: 9000\n  host: 0.0.0.0\n")
    monkeypatch.setenv("CLASSIFIER__API__PORT", "9001")
    assert load_settings(config).api.host == "0.0.0.0"  # noqa: S104


def test_the_environment_overrides_the_default(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLASSIFIER__LOGGING__ACCESS_SHARE", "0.5")
    assert load_settings(config).logging.access_share == 0.5


def test_settings_made_directly_ignore_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CLASSIFIER__API__PORT", "9001")
    assert Settings().api.port == 3000


def test_the_case_of_a_variable_does_not_matter(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("classifier__api__port", "9001")
    assert load_settings(config).api.port == 9001


def test_a_variable_of_another_program_is_not_read(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLASSIFICATION__API__PORT", "9001")
    monkeypatch.setenv("CLASSY__API__PORT", "9001")
    monkeypatch.setenv("CLASIFIER", "9001")
    assert load_settings(config) == Settings()


def test_a_variable_can_name_the_configuration_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("model:\n  name: other\n")
    monkeypatch.setenv("CLASSIFIER_CONFIG", str(config))
    assert load_settings().model.name == "other"


def test_an_argument_overrides_the_variable_that_names_the_file(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLASSIFIER_CONFIG", "/nowhere.yaml")
    assert load_settings(config) == Settings()


def test_settings_cannot_be_changed(config: Path) -> None:
    settings = load_settings(config)
    with pytest.raises(ValidationError, match="frozen"):
        settings.api.port = 1


# Refused settings


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("apis:\n  port: 1\n", "there is no section 'apis'; the nearest is 'api'"),
        ("infer:\n", "there is no section 'infer'; the nearest is 'inference'"),
        ("on: {}\n", "there is no section True; the nearest is "),
        ("1: {}\n", "there is no section 1; the nearest is "),
        ("api:\n  prot: 1\n", "section 'api' has no key 'prot'; the nearest is 'port'"),
        ("logging:\n  levels: INFO\n", "section 'logging' has no key 'levels'; the nearest is 'level'"),
        ("api:\n  8000: 1\n", "section 'api' has no key 8000; the nearest is "),
        ("api: 8000\n", "section 'api' is 8000; it must hold keys and values"),
        ("api: [port]\n", "section 'api' is ['port']; it must hold keys and values"),
    ],
)
def test_an_unknown_name_in_the_file_gets_a_suggestion(config: Path, content: str, message: str) -> None:
    config.write_text(content)
    with pytest.raises(SettingsError, match=re.escape(f"{config}: {message}")):
        load_settings(config)


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("CLASSIFIER__APIS__PORT", "there is no section 'apis'; the nearest is 'api'"),
        ("CLASSIFIER__API__PROT", "section 'api' has no key 'prot'; the nearest is 'port'"),
        ("CLASSIFIER__API__PORT__X", "section 'api' has no key 'port__x'; the nearest is 'port'"),
        ("CLASSIFIER__API", "it names a section; a key must follow, as in CLASSIFIER__API__KEY"),
        ("CLASSIFIER_API_PORT", "there is no such setting; it is CLASSIFIER__API__PORT"),
        ("CLASSIFIER_API__PORT", "there is no such setting; it is CLASSIFIER__API__PORT"),
        ("CLASIFIER__API__PORT", "there is no such setting; it is CLASSIFIER__API__PORT"),
        ("CLASSIFIERS__API__PORT", "there is no such setting; it is CLASSIFIER__API__PORT"),
        ("CLASFIER__LOGGING__LEVEL", "there is no such setting; it is CLASSIFIER__LOGGING__LEVEL"),
        ("CLASSIFEIR__API__PROT", "there is no such setting; it is CLASSIFIER__API__PORT"),
        ("clasifier__api__port", "there is no such setting; it is CLASSIFIER__API__PORT"),
        ("classifier__api__prot", "section 'api' has no key 'prot'; the nearest is 'port'"),
    ],
)
def test_an_unknown_variable_gets_a_suggestion(
    config: Path, monkeypatch: pytest.MonkeyPatch, variable: str, message: str
) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(SettingsError, match=re.escape(f"environment variable {variable}: {message}")):
        load_settings(config)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("api:\n  port: many\n", "api.port is 'many': Input should be a valid integer"),
        ("api:\n  port:\n", "api.port is None: Input should be a valid integer"),
        ("api:\n  port: 0\n", "api.port is 0: Input should be greater than or equal to 1"),
        ("api:\n  port: 65536\n", "api.port is 65536: Input should be less than or equal to 65535"),
        ("inference:\n  confidence_threshold: .nan\n", "inference.confidence_threshold is nan: "),
        ("inference:\n  confidence_threshold: 1.5\n", "inference.confidence_threshold is 1.5: "),
        ("logging:\n  level: LOUD\n", "logging.level is 'LOUD': Input should be 'DEBUG', 'INFO'"),
        ("model:\n  version: 1.0\n", "model.version is 1.0: Input should be a valid string"),
        ("model:\n  name: ../other\n", "model.name is '../other': String should match pattern"),
        (
            "preprocessing:\n  lowercase: [1]\n",
            "preprocessing.lowercase is [1]: Input should be a valid bool",
        ),
    ],
)
def test_the_error_for_an_invalid_value_names_the_file_the_key_and_the_value(
    config: Path, content: str, message: str
) -> None:
    config.write_text(content)
    with pytest.raises(SettingsError, match=re.escape(f"{config}: {message}")):
        load_settings(config)


@pytest.mark.parametrize("variable", ["CLASSIFIER__API__PORT", "classifier__api__port"])
def test_the_error_for_an_invalid_value_names_the_variable_the_key_and_the_value(
    config: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "many")
    message = f"environment variable {variable}: api.port is 'many': Input should be a valid integer"
    with pytest.raises(SettingsError, match=re.escape(message)):
        load_settings(config)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=re.escape(f"{tmp_path / 'none.yaml'}: ") + ".*No such file"):
        load_settings(tmp_path / "none.yaml")


def test_a_missing_file_from_the_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLASSIFIER_CONFIG", "/nowhere.yaml")
    with pytest.raises(SettingsError, match=r"/nowhere\.yaml: the configuration file cannot be read"):
        load_settings()


@pytest.mark.parametrize(
    "content",
    [
        b"api: [",
        b"a: b: c",
        b"\xff\xfe\x00",
        b"x: !!python/object:os.system {}",
        b"model: {version: 2024-13-45}",
    ],
    ids=["open bracket", "two colons", "not UTF-8", "code", "no such date"],
)
def test_a_file_that_is_not_yaml_is_named(config: Path, content: bytes) -> None:
    config.write_bytes(content)
    with pytest.raises(SettingsError, match=re.escape(f"{config}: the configuration file is not YAML")):
        load_settings(config)


@pytest.mark.parametrize("content", ["[]", "- api", "api", "0", "false"])
def test_a_file_that_is_not_a_mapping_is_named(config: Path, content: str) -> None:
    config.write_text(content)
    with pytest.raises(
        SettingsError, match=re.escape(f"{config}: the configuration file must hold sections")
    ):
        load_settings(config)


def test_variables_that_kubernetes_sets_for_a_service_are_ignored(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLASSIFIER_PORT", "tcp://10.96.0.7:80")
    monkeypatch.setenv("CLASSIFIER_SERVICE_HOST", "10.96.0.7")
    config.write_text("")
    assert load_settings(config).api.port == 3000


def test_a_queue_smaller_than_the_largest_request_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("batching: {max_waiting_characters: 999999}\n")
    with pytest.raises(SettingsError, match=r"batching\.max_waiting_characters is 999999: .* 1000000"):
        load_settings(config)
    config.write_text("batching: {max_waiting_characters: 1000000}\n")
    assert load_settings(config).batching.max_waiting_characters == 1_000_000


def test_an_empty_configuration_file_name_means_the_default_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLASSIFIER_CONFIG", "")
    assert load_settings() == load_settings(DEFAULT_CONFIG_PATH)


@pytest.mark.parametrize("version", ["a" * 5000, "../escape", "", "a b", "-a"])
def test_a_version_that_the_store_does_not_allow_is_refused(
    monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setenv("CLASSIFIER__MODEL__VERSION", version)
    with pytest.raises(SettingsError, match=r"CLASSIFIER__MODEL__VERSION: model\.version is ") as caught:
        load_settings()
    assert len(str(caught.value)) < 500


FLOATS = [
    f"{section}.{key}"
    for section, keys in Settings().model_dump().items()
    for key, value in keys.items()
    if isinstance(value, float)
]


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
@pytest.mark.parametrize("place", FLOATS)
def test_a_number_must_be_finite(
    config: Path, monkeypatch: pytest.MonkeyPatch, place: str, value: str
) -> None:
    variable = f"CLASSIFIER__{place.replace('.', '__')}".upper()
    monkeypatch.setenv(variable, value)
    refused = f"environment variable {variable}: {place} is '{value}': Input should be a finite number"
    with pytest.raises(SettingsError, match=f"^{re.escape(refused)}$"):
        load_settings(config)


@pytest.mark.parametrize("place", [place for place in FLOATS if place.endswith("_seconds")])
def test_no_time_is_longer_than_a_day(config: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setenv(f"CLASSIFIER__{place.replace('.', '__')}".upper(), "86400.1")
    with pytest.raises(SettingsError, match=rf"{place} is '86400\.1': .* less than or equal to 86400$"):
        load_settings(config)


def test_an_empty_host_is_refused(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLASSIFIER__API__HOST", "")
    with pytest.raises(SettingsError, match=r"^environment variable CLASSIFIER__API__HOST: api\.host is ''"):
        load_settings(config)


def test_a_byte_budget_that_one_body_could_use_up_is_refused(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLASSIFIER__API__MAX_BODY_BYTES", "40000000")
    with pytest.raises(SettingsError, match=r"api\.max_held_bytes is 67108864; it must be at least twice"):
        load_settings(config)


@pytest.mark.parametrize(
    ("given", "hosts"),
    [
        ("api.example.com", ("api.example.com",)),
        ("[api.example.com]", ("api.example.com",)),
        ('["a.example.com", "b.example.com"]', ("a.example.com", "b.example.com")),
        ("a.example.com, b.example.com", ("a.example.com", "b.example.com")),
        ("", ()),
        ("[]", ()),
    ],
)
def test_host_names_may_be_a_json_list_or_comma_separated(
    config: Path, monkeypatch: pytest.MonkeyPatch, given: str, hosts: tuple[str, ...]
) -> None:
    monkeypatch.setenv("CLASSIFIER__API__ALLOWED_HOSTS", given)
    assert load_settings(config).api.allowed_hosts == hosts


def test_unreadable_host_names_are_refused(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLASSIFIER__API__ALLOWED_HOSTS", "[a, b")
    with pytest.raises(SettingsError, match=r"api\.allowed_hosts must be host names with commas between"):
        load_settings(config)


def test_settings_that_do_not_fit_together_are_blamed_on_the_file_and_the_variables(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text("api:\n  max_body_bytes: 2000000\n")
    monkeypatch.setenv("CLASSIFIER__API__MAX_HELD_BYTES", "1048576")
    with pytest.raises(SettingsError) as error:
        load_settings(config)
    assert str(error.value).startswith(
        f"{config} and CLASSIFIER__API__MAX_HELD_BYTES: api.max_held_bytes is 1048576"
    )


def test_a_setting_of_the_file_is_not_blamed_on_a_variable_of_the_same_section(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text("api:\n  max_body_bytes: 1\n")
    monkeypatch.setenv("CLASSIFIER__API__PORT", "9000")
    with pytest.raises(SettingsError) as error:
        load_settings(config)
    assert str(error.value).startswith(f"{config}: api.max_body_bytes is 1")
