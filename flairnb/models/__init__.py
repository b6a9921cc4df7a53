"""Models that are trained on sentences."""

from flairnb.models.language_model import LanguageModel as LanguageModel
from flairnb.models.model import Model as Model
from flairnb.models.sequence_tagger import SequenceTagger as SequenceTagger
from flairnb.models.text_classifier import TextClassifier as TextClassifier
