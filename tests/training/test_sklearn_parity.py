"""The scikit-learn model that `benchmarks/runtime_speed.py` compares times with gives the same answers."""

from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from classifier.pipeline import Classifier
from training_import.conversion.converted import ImportOptions
from training_import.conversion.import_model import import_model
from training_import.dataset import read_dataset

DATA = Path(__file__).parents[1] / "data"


@pytest.mark.parametrize(
    ("learn", "test"), [("imdb_train.csv", "imdb_test.csv"), ("agnews_train.parquet", "agnews_test.jsonl")]
)
@pytest.mark.parametrize("size", [1, 32, 200], ids=["one by one", "batches of 32", "all at once"])
def test_the_linear_runtime_gives_scikit_learns_answers_on_real_texts(tmp_path, learn, test, size):
    data, texts = read_dataset(DATA / learn), read_dataset(DATA / test).texts
    vectorizer = CountVectorizer(ngram_range=(1, 3), min_df=2, binary=True)
    pipeline = make_pipeline(vectorizer, Normalizer(), LogisticRegression(max_iter=1000))
    joblib.dump(pipeline.fit(data.texts, data.labels), tmp_path / "model.joblib")
    options = ImportOptions(name="peer", trust_pickle=True)
    classifier = Classifier(import_model(tmp_path / "model.joblib", options), batch_size=size)
    predictions = classifier.predict(texts)
    expected = pipeline.predict_proba(texts)
    got = np.array(
        [[prediction.probabilities[label] for label in pipeline.classes_] for prediction in predictions]
    )
    assert len(texts) == 200
    assert np.abs(got - expected).max() <= 1e-6
    assert [prediction.label for prediction in predictions] == pipeline.predict(texts).tolist()
