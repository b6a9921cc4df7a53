"""Models that are trained on sentences."""

from flairnb.models.language_model import LanguageModel as LanguageModel
from flairnb.models.model import Model as Model
from flairnb.models.sequence_tagger import SequenceTagger as SequenceTagger
from flairnb.models.text_classifier import TextClassifier as TextClassifier
from flairnb.models.text_pair_classifier import (
    TextPairClassifier as TextPairClassifier,
)
from flairnb.models.text_regressor import TextRegressor as TextRegressor
