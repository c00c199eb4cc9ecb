"""What pip-audit reports, as its own formatter writes it."""

import pytest
from packaging.version import Version
from pip_audit._format import ColumnsFormat, JsonFormat
from pip_audit._service.interface import ResolvedDependency, SkippedDependency, VulnerabilityResult

from image.bill import read_report

FLAW = VulnerabilityResult.create(["PYSEC-1", "CVE-1"], "bad", [Version("1.1")], None)
RESULT = {
    ResolvedDependency("clean", Version("1.0")): [],
    ResolvedDependency("flawed", Version("2.0")): [FLAW],
    SkippedDependency("unknown", "Dependency not found on PyPI and could not be audited: unknown (3.0)"): [],
}


def test_clean_vulnerable_and_skipped_packages_are_told_apart() -> None:
    audit = read_report(JsonFormat(True, True).format(RESULT, []))
    assert audit.clean == {"clean 1.0"}
    assert audit.vulnerable == {"flawed 2.0": ("PYSEC-1",)}
    assert audit.skipped == {
        "unknown": "Dependency not found on PyPI and could not be audited: unknown (3.0)"
    }


@pytest.mark.parametrize(
    "text", ["", "No known vulnerabilities found\n", ColumnsFormat(True, True).format(RESULT, [])]
)
def test_anything_but_a_report_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="JSON"):
        read_report(text)
