"""What requests are recorded with."""

from pathlib import Path

import pytest
from several import write_several
from structlog.testing import capture_logs

from classifier.pipeline import Classifier, load_classifier
from classifier.settings import FeedbackSettings, Settings
from serving.telemetry.recorder import Recorder, new_recorder


@pytest.fixture
def several(tmp_path: Path) -> Classifier:
    return load_classifier(write_several(tmp_path / "model"))


def recorder_of(classifier: Classifier, path: Path) -> Recorder:
    return new_recorder(Settings(feedback=FeedbackSettings(path=str(path))), classifier)


def test_no_predictions_are_kept_of_a_model_whose_feedback_is_refused(
    several: Classifier, tmp_path: Path
) -> None:
    path = tmp_path / "feedback.db"
    assert recorder_of(several, path).feedback is None
    assert not path.exists()


def test_the_log_says_that_they_are_not_kept(several: Classifier, tmp_path: Path) -> None:
    with capture_logs() as lines:
        recorder_of(several, tmp_path / "feedback.db")
        new_recorder(Settings(), several)
    assert [(line["event"], line["log_level"]) for line in lines] == [("feedback_not_kept", "warning")]
