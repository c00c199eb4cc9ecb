"""Files of foreign models: older releases are read exactly, and what cannot be read is explained."""

import json
import pickle
import re
import sys
import zipfile
from importlib import import_module
from pathlib import Path

import h5py
import joblib
import numpy as np
import pytest
import scipy.sparse
import sklearn
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, RepeatedStratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import LabelEncoder
from skops import io as skops_io

from classifier.pipeline import Classifier
from training_import.conversion.converted import ImportOptions, UnsupportedModel
from training_import.conversion.foreign_files import source_kind
from training_import.conversion.from_keras import check_hdf5
from training_import.conversion.import_model import convert_and_compare, import_model
from training_import.conversion.older_sklearn import FORMER_MODULES, former_names
from training_import.conversion.subwords import refuse_pieces

DATA = Path(__file__).parents[1] / "data"
TEXTS = ["a fine film", "fine acting", "so fine", "a bad film", "bad acting", "so bad"]
LABELS = ["good"] * 3 + ["poor"] * 3

trusting = ImportOptions(name="imported", trust_pickle=True)


def saved(tmp_path: Path, content: object) -> Path:
    joblib.dump(content, tmp_path / "model.joblib")
    return tmp_path / "model.joblib"


def pipeline() -> Pipeline:
    return make_pipeline(TfidfVectorizer(), LogisticRegression())


# Other releases of scikit-learn


def test_a_model_of_scikit_learn_1_3_2_gives_the_probabilities_that_it_gave_there() -> None:
    options = ImportOptions(
        name="old", trust_pickle=True, labels=("bad", "good"), expected=DATA / "sklearn_1_3_2.jsonl"
    )
    imported = convert_and_compare(DATA / "sklearn_1_3_2.joblib", options)
    assert [one.largest <= 1e-6 for one in imported.comparisons] == [True, True]
    assert "It was saved with scikit-learn 1.3.2" in imported.artifact.model_card
    assert "the best estimator of a GridSearchCV" in imported.artifact.model_card


def test_the_weighting_of_an_older_release_is_found_in_every_part_of_a_package(tmp_path: Path) -> None:
    vectorizer, weighting = CountVectorizer(), TfidfTransformer()
    features = weighting.fit_transform(vectorizer.fit_transform(TEXTS))
    model = LogisticRegression().fit(features, LABELS)
    expected = model.predict_proba(features)
    weighting._idf_diag = scipy.sparse.diags(weighting.idf_, format="csr")
    del weighting.idf_
    package = {"model": model, "vectorizer": Pipeline([("counts", vectorizer), ("tfidf", weighting)])}
    artifact = import_model(saved(tmp_path, package), trusting)
    assert np.abs(Classifier(artifact).probabilities(TEXTS) - expected).max() <= 1e-6


@pytest.mark.parametrize("former", FORMER_MODULES)
def test_the_former_name_of_a_module_works_only_while_a_file_is_read(former: str) -> None:
    with former_names():
        module = sys.modules[former]
        now = import_module(FORMER_MODULES[former])
        name = next(name for name in vars(now) if not name.startswith("_"))
        assert getattr(module, name) is getattr(now, name)
    assert former not in sys.modules


def test_a_model_without_an_attribute_names_both_releases_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = pipeline().fit(TEXTS, LABELS)
    del model[-1].coef_
    with monkeypatch.context() as patched:
        patched.setattr(sklearn.base, "__version__", "1.2.0")
        path = saved(tmp_path, model)
    with pytest.raises(UnsupportedModel) as refused:
        import_model(path, trusting)
    message = str(refused.value)
    assert "'coef_'" in message
    assert f"it was saved with scikit-learn 1.2.0, and {sklearn.__version__} is installed here" in message
    assert 'pip install scikit-learn==1.2.0 "numpy<2"' in message
    assert f"pip install scikit-learn=={sklearn.__version__}" in message


def test_a_class_that_scikit_learn_no_longer_has_names_both_releases(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(
        b"\x80\x02}(U\x10_sklearn_versionX\x06\x00\x00\x000.21.3"
        b"U\x05modelcsklearn.linear_model\nLostRegression\nu."
    )
    message = (
        r"has no attribute 'LostRegression'; it was saved with scikit-learn 0\.21\.3, and .* is installed"
    )
    with pytest.raises(UnsupportedModel, match=message):
        import_model(path, trusting)


# Functions that are not in the file


def _split(text: str) -> list[str]:
    return text.split()


def without_its_module(module: str) -> bytes:
    """Return a pickle of a vectorizer with a function `tok` of a module that is gone."""
    content = pickle.dumps(CountVectorizer(tokenizer=_split, token_pattern=None), protocol=0)
    return content.replace(f"c{__name__}\n_split\n".encode(), f"c{module}\ntok\n".encode())


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("__main__", r"'tok' is not in the file, but in the script that saved it \(`__main__`\)"),
        ("my_cleaning", "it needs the module 'my_cleaning', and No module named 'my_cleaning'"),
    ],
)
def test_a_function_that_is_not_in_the_file_is_named_with_what_to_do(
    tmp_path: Path, module: str, message: str
) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(without_its_module(module))
    with pytest.raises(UnsupportedModel, match=message + r".*a pickle has only the name.*`token_pattern`"):
        import_model(path, trusting)


# Searches


GRID = {"logisticregression__C": [0.5, 2.0]}


@pytest.mark.parametrize(
    "search",
    [
        GridSearchCV(pipeline(), GRID, cv=2),
        RandomizedSearchCV(pipeline(), GRID, n_iter=2, cv=2, scoring="f1_macro", random_state=0),
        Pipeline(
            [("v", TfidfVectorizer()), ("search", GridSearchCV(LogisticRegression(), {"C": [1, 2]}, cv=2))]
        ),
    ],
    ids=["grid", "random", "in a pipeline"],
)
@pytest.mark.parametrize("file", ["joblib", "skops"])
def test_the_best_estimator_of_a_fitted_search_is_imported(
    tmp_path: Path, search: Pipeline, file: str
) -> None:
    path = tmp_path / f"model.{file}"
    search.fit(TEXTS, LABELS)
    if file == "joblib":
        joblib.dump(search, path)
    else:
        skops_io.dump(search, path)
    artifact = import_model(path, trusting)
    assert np.abs(Classifier(artifact).probabilities(TEXTS) - search.predict_proba(TEXTS)).max() <= 1e-6


@pytest.mark.parametrize(
    "search", [GridSearchCV(pipeline(), GRID), GridSearchCV(pipeline(), GRID, refit=False)]
)
def test_a_search_without_a_best_estimator_is_refused(tmp_path: Path, search: GridSearchCV) -> None:
    if not search.refit:
        search.set_params(cv=2).fit(TEXTS, LABELS)
    message = "step 'model' is a GridSearchCV without a best estimator; it must be fitted with refit=True"
    with pytest.raises(UnsupportedModel, match=message):
        import_model(saved(tmp_path, search), trusting)


# Packages


def test_a_skops_file_can_be_a_package(tmp_path: Path) -> None:
    model = pipeline().fit(TEXTS, [0, 0, 0, 1, 1, 1])
    content = {"model": model, "label_encoder": LabelEncoder().fit(["good", "terrible"]), "author": "x"}
    skops_io.dump(content, tmp_path / "model.skops")
    imported = convert_and_compare(tmp_path / "model.skops", ImportOptions(name="imported"))
    assert imported.artifact.manifest.labels == ("good", "terrible")
    assert imported.unused == ("author",)


@pytest.mark.parametrize(
    "name",
    [
        "sklearn.metrics.pairwise.Parallel",
        "sklearn.metrics.pairwise.__loader__",
        "sklearn.metrics.pairwise._parallel_pairwise",
        "sklearn.model_selection._split.np",
        "numpy.ma.core.MaskedArrayFutureWarning",
    ],
)
def test_a_skops_file_cannot_call_what_a_trusted_module_merely_imports(tmp_path: Path, name: str) -> None:
    module, _, attribute = name.rpartition(".")
    content = {"__class__": attribute, "__module__": module, "__loader__": "FunctionNode", "__id__": 1}
    with zipfile.ZipFile(tmp_path / "model.skops", "w") as archive:
        archive.writestr("schema.json", json.dumps({**content, "protocol": 2, "_skops_version": "0.16.0"}))
    with pytest.raises(UnsupportedModel, match=f"does not trust, .*: {re.escape(name)}"):
        import_model(tmp_path / "model.skops", ImportOptions(name="imported"))


@pytest.mark.parametrize(
    "config",
    [
        '{"class_name": "Lambda"}',
        r'{"class_name" : "L\u0061mbda"}',
        r'{"layers": [{"cl\u0061ss_name": "Lambda"}]}',
        '{"layers": [{"class_name": "keras.layers>Lambda"}]}',
        '{"layers": [{"class_name": "keras.src.layers.core.lambda_layer.Lambda"}]}',
    ],
)
def test_code_in_an_hdf5_file_is_found_however_its_name_is_written(tmp_path: Path, config: str) -> None:
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file.attrs["model_config"] = config
    with pytest.raises(UnsupportedModel, match="has a layer with code of its own, Lambda"):
        check_hdf5(tmp_path / "model.h5")


@pytest.mark.parametrize("config", [b"\xff{", "{", "[" * 100_000, 5], ids=["bytes", "JSON", "depth", "type"])
def test_an_hdf5_file_whose_description_cannot_be_read_is_refused(tmp_path: Path, config: object) -> None:
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file.create_group("model_weights")
        file.attrs["model_config"] = config[:60_000] if isinstance(config, str) else config
    with pytest.raises(UnsupportedModel, match="describes its model in a way that is not JSON"):
        check_hdf5(tmp_path / "model.h5")


def test_a_file_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training_import.conversion.foreign_files.MAX_UNPACKED_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "model.skops", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", " " * 1001)
    with pytest.raises(UnsupportedModel, match="unpacks to 1,001 bytes; at most 1,000 are read"):
        source_kind(tmp_path / "model.skops")


@pytest.mark.parametrize("scoring", ["accuracy", "f1_macro", "roc_auc", "neg_log_loss", "d2_brier_score"])
def test_a_skops_file_of_a_search_may_have_any_score_of_classifiers(tmp_path: Path, scoring: str) -> None:
    cv = RepeatedStratifiedKFold(n_splits=2, n_repeats=1)
    search = GridSearchCV(pipeline(), GRID, scoring=scoring, cv=cv).fit(TEXTS, [0, 0, 0, 1, 1, 1])
    skops_io.dump(search, tmp_path / "model.skops")
    artifact = import_model(tmp_path / "model.skops", ImportOptions(name="imported"))
    assert np.abs(Classifier(artifact).probabilities(TEXTS) - search.predict_proba(TEXTS)).max() <= 1e-6


# Kinds of files


def test_a_saved_model_is_refused_with_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "saved_model.pb").touch()
    message = r"is a SavedModel folder; load it .*`tf\.keras\.models\.load_model\('mine'\)\.save"
    with pytest.raises(UnsupportedModel, match=message):
        source_kind(folder)


def test_an_hdf5_file_is_a_keras_model(tmp_path: Path) -> None:
    (tmp_path / "mine.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 16)
    assert source_kind(tmp_path / "mine.h5") == "keras"


def test_a_zip_file_of_something_else_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(UnsupportedModel, match="a zip file without the parts of a Keras or skops model"):
        source_kind(tmp_path / "mine.zip")


# Vocabularies of pieces


@pytest.mark.parametrize(
    "words",
    [
        ["the", "film", "[CLS]"],
        ["the", "film", "##ing", "##s"],
        ["▁the", "▁film", "ing", None],
        ["the", "Ġfilm", "Ġgood"],
    ],
    ids=["CLS", "WordPiece", "SentencePiece", "byte-level BPE"],
)
def test_a_vocabulary_of_sub_word_pieces_is_refused(words: list[str | None]) -> None:
    with pytest.raises(UnsupportedModel, match=r"words\.json has .*: these are sub-word pieces"):
        refuse_pieces("words.json", words)


@pytest.mark.parametrize(
    "words",
    [
        ["the", "film", "##", "##wow"],
        ["[PAD]", "[UNK]", "the"],
        ["Ġwanni", "Ġorġ", *(f"kelma{number}" for number in range(200))],
        ["##a", "##b", *(f"word{number}" for number in range(200))],
    ],
    ids=["a stray mark", "special tokens of words", "Maltese names", "two in hundreds"],
)
def test_a_list_of_words_may_have_stray_marks(words: list[str | None]) -> None:
    refuse_pieces("words.json", words)
