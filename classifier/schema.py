"""The public contract: models of requests and answers, with all limits on them."""

from typing import Annotated, NotRequired

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

MAX_TEXT_CHARS = 10_000
MAX_TEXTS = 100
MAX_THRESHOLDS = 100
DEFAULT_TOP_K = 3
MAX_CONTRIBUTIONS = 1000
DEFAULT_CONTRIBUTIONS = 10
DEFAULT_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

TAG_PATTERN = r"^[a-z0-9]([-_.a-z0-9]{0,61}[a-z0-9])?$"
"""What BentoML accepts as the name or the version of a model."""

REQUEST_ID_PATTERN = r"^[A-Za-z0-9._:-]{1,128}$"
"""What an answer's header `x-request-id` can be."""

EXAMPLE_TEXT = "A moving, beautifully acted film. I would watch it again."
EXAMPLE_TEXTS = [EXAMPLE_TEXT, "Two hours of my life that I will never get back."]


def _checked_text(text: str) -> str:
    stripped = text.strip()
    if not stripped:
        raise PydanticCustomError(
            "text_blank", "is blank; it needs at least one character that is not white space"
        )
    if len(stripped) > MAX_TEXT_CHARS:
        raise PydanticCustomError(
            "text_too_long",
            "has {length} characters; at most {limit} are allowed",
            {"length": len(stripped), "limit": MAX_TEXT_CHARS},
        )
    return stripped


_NOT_BLANK = r"[^\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
"""A character that `str.strip` does not remove. JSON Schema's `\\S` differs from it in six characters."""

Text = Annotated[
    str,
    AfterValidator(_checked_text),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_TEXT_CHARS, "pattern": _NOT_BLANK}),
]
"""A text of 1 to 10,000 characters, counted without white space at both ends."""


def _as_sent(text: str) -> str:
    _checked_text(text)
    return text


TextAsSent = Annotated[
    str,
    AfterValidator(_as_sent),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_TEXT_CHARS, "pattern": _NOT_BLANK}),
]
"""The same with the white space at both ends, for an answer that has places in the text."""


def _whole_number(value: object) -> object:
    # JSON has only one type of number, and JSON Schema counts 2.0 as an integer.
    return int(value) if isinstance(value, float) and value.is_integer() else value


Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class PredictRequest(_Request):
    """One text, and optionally the confidence below which the answer is "uncertain"."""

    text: Text = Field(examples=[EXAMPLE_TEXT])
    threshold: Probability | None = Field(
        default=None,
        examples=[0.8],
        description="The answer is uncertain below this confidence. If a text can have several labels, it "
        "also replaces the thresholds of all labels for this answer.",
    )


class BatchRequest(_Request):
    """Up to 100 texts."""

    texts: list[Text] = Field(min_length=1, max_length=MAX_TEXTS, examples=[EXAMPLE_TEXTS])
    return_probabilities: bool = True


class TopKRequest(_Request):
    """One text; `k` can be in the body or in the query."""

    text: Text = Field(examples=[EXAMPLE_TEXT])
    k: Annotated[int, BeforeValidator(_whole_number)] = Field(default=DEFAULT_TOP_K, ge=1, examples=[2])


class ThresholdsRequest(_Request):
    """One text and the thresholds to try on it."""

    text: Text = Field(examples=[EXAMPLE_TEXT])
    thresholds: list[Probability] = Field(
        default=list(DEFAULT_THRESHOLDS),
        min_length=1,
        max_length=MAX_THRESHOLDS,
        examples=[[0.3, 0.5, 0.7]],
        description="Each decides between two classes, or about every label if a text can have several.",
    )


class ExplainRequest(_Request):
    """One text, the label to explain, and how many contributions to list."""

    text: TextAsSent = Field(examples=[EXAMPLE_TEXT])
    label: str | None = Field(
        default=None, min_length=1, examples=["positive"], description="By default the predicted label."
    )
    top: Annotated[int, BeforeValidator(_whole_number)] = Field(
        default=DEFAULT_CONTRIBUTIONS, ge=1, le=MAX_CONTRIBUTIONS, examples=[5]
    )


class ClassifyRequest(_Request):
    """Up to 100 texts for BentoML's own batchable API."""

    texts: list[Text] = Field(min_length=1, max_length=MAX_TEXTS, examples=[EXAMPLE_TEXTS])


class FeedbackRequest(_Request):
    """The right label of a text that was classified before."""

    request_id: str = Field(pattern=REQUEST_ID_PATTERN, examples=["5f0e9d3c8a7b4e61a2c4d6e8f0a1b2c3"])
    label: str = Field(min_length=1, examples=["negative"])
    index: Annotated[int, BeforeValidator(_whole_number)] = Field(
        default=0, ge=0, lt=MAX_TEXTS, examples=[0], description="The position of the text in its batch."
    )


class PredictionAnswer(TypedDict):
    """What the model predicts for one text."""

    text: str
    predicted_class: int
    label: str
    confidence: float
    is_confident: Annotated[
        bool, Field(description="Whether the confidence reaches the setting inference.confidence_threshold.")
    ]
    labels: NotRequired[
        Annotated[
            list[str],
            Field(
                description="Only if a text can have several labels: all at or above their thresholds, or at "
                "or above the `threshold` of the request. It can be empty. `label` is the most probable one."
            ),
        ]
    ]
    probabilities: NotRequired[dict[str, float]]
    probability_positive: NotRequired[float]
    probability_negative: NotRequired[float]
    final_prediction: NotRequired[str]
    reason: NotRequired[str]
    warnings: NotRequired[list[str]]


class BatchAnswer(TypedDict):
    """Predictions in the order of the texts."""

    predictions: list[PredictionAnswer]
    total_processed: int


class RankedLabel(TypedDict):
    """A label with its probability."""

    label: str
    probability: float


class TopKAnswer(TypedDict):
    """The most probable labels, most probable first."""

    text: str
    top_predictions: list[RankedLabel]
    warnings: NotRequired[list[str]]


class ThresholdAnswer(TypedDict):
    """What is predicted for the text with one threshold."""

    threshold: float
    predicted_class: int
    label: str
    probability_positive: NotRequired[
        Annotated[float, Field(description="The probability of the second of two classes.")]
    ]
    confidence: float
    labels: NotRequired[
        Annotated[
            list[str],
            Field(description="Only if a text can have several labels: all at or above the threshold."),
        ]
    ]


class ThresholdsAnswer(TypedDict):
    """What is predicted for the text with each threshold, in the order of the request."""

    text: str
    results: list[ThresholdAnswer]
    warnings: NotRequired[list[str]]


PlaceAnswer = Annotated[list[int], Field(min_length=2, max_length=2)]
"""The start and the end of a part of a text, in characters (Unicode code points)."""


class ContributionAnswer(TypedDict):
    """What one part of the text adds to the score, with all places where it occurs."""

    text: Annotated[str, Field(description="The part as the client wrote it, where it occurs first.")]
    places: list[PlaceAnswer]
    contribution: Annotated[
        float, Field(description="Above zero it speaks for the explained label, below zero against it.")
    ]


class RemainderAnswer(TypedDict):
    """How many contributions are not listed, and their sum."""

    count: int
    contribution: float


class WordAnswer(TypedDict):
    """A word that the model read, by its place, with its share of the contributions."""

    start: int
    end: int
    share: Annotated[
        float,
        Field(
            description="Each contribution is divided equally among its words. All shares add up "
            "to the sum of all contributions."
        ),
    ]


class CalibrationAnswer(TypedDict):
    """The factor and the summand that turn the score into calibrated log-odds."""

    scale: float
    bias: float


class FaithfulnessAnswer(TypedDict):
    """How well the contributions describe the model."""

    comprehensiveness: Annotated[
        float,
        Field(description="How much the probability falls without the most important parts. High is good."),
    ]
    sufficiency: Annotated[
        float, Field(description="How much the probability falls with only these parts. Low is good.")
    ]


class OfOcclusion(TypedDict):
    """What only an explanation by occlusion has."""

    faithfulness: NotRequired[FaithfulnessAnswer]


class ExplanationAnswer(PredictionAnswer, OfOcclusion):
    """A prediction, and what each part of the text adds to the score of one label.

    `bias`, all contributions, the remainder and `interaction` add up to `score`. Places count the characters
    (Unicode code points) of `text`, which is the text as it was sent.
    """

    explained_label: str
    method: Annotated[
        str, Field(description="exact: the score is a sum; occlusion: parts were left out of the text.")
    ]
    unit: Annotated[str, Field(description="What the parts are: n-gram, word or sentence.")]
    compared_with: str
    score: Annotated[
        float,
        Field(description="The log-odds of the explained label before calibration, against `compared_with`."),
    ]
    bias: Annotated[float, Field(description="The part of the score that comes from no word.")]
    contributions: Annotated[
        list[ContributionAnswer], Field(description="Those with the largest absolute value, largest first.")
    ]
    remainder: RemainderAnswer
    interaction: Annotated[
        float, Field(description="What cannot be attributed to single parts; 0 if the method is exact.")
    ]
    words: Annotated[list[WordAnswer], Field(description="All words that the model read, in text order.")]
    calibration: CalibrationAnswer


class ServiceInfo(TypedDict):
    """The service and its endpoints."""

    name: str
    version: str
    status: str
    endpoints: dict[str, str]


class Health(TypedDict):
    """Whether the model can answer."""

    status: str
    model_loaded: bool
    device: str


class TrainedOn(TypedDict):
    """The data that the model was trained on."""

    name: str
    sha256: str
    rows: int


class ModelInfo(TypedDict):
    """The model that answers requests."""

    model_type: str
    num_classes: int
    classes: list[str]
    device: str
    max_input_length: int
    name: str
    version: str
    digest: str
    threshold: float
    thresholds: NotRequired[
        Annotated[
            dict[str, float],
            Field(
                description="Only if a text can have several labels: the probability from which on it has "
                "each of them."
            ),
        ]
    ]
    trained_on: TrainedOn | None
    metrics: dict[str, float]


class FeedbackAnswer(TypedDict):
    """Whether the prediction was right."""

    was_right: bool
    predicted: str


class DriftBin(TypedDict):
    """One bin of a feature, with the shares of the held-out texts and of the last texts that are in it."""

    bin: str
    reference: float
    window: float


class FeatureDrift(TypedDict):
    """How much the last texts differ from the held-out texts of the model in one feature."""

    feature: str
    alarm: bool
    psi: float
    test: str
    statistic: float
    p_value: float
    bins: list[DriftBin]


class DriftAnswer(TypedDict):
    """Whether the last texts differ from the held-out texts of the model."""

    status: str
    texts: int
    reference_texts: int
    features: list[FeatureDrift]


class ProblemError(TypedDict):
    """One broken rule."""

    loc: list[str | int]
    msg: str
    type: str


class Problem(TypedDict):
    """Problem details (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: NotRequired[list[ProblemError]]
    id: NotRequired[str]
