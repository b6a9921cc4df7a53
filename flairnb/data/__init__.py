"""Sentences, labels and corpora."""

from typing import Any

from flairnb.data.corpus import Corpus as Corpus
from flairnb.data.corpus import MultiCorpus as MultiCorpus
from flairnb.data.labels import OPENERS
from flairnb.data.labels import Dictionary as Dictionary
from flairnb.data.labels import Label as Label
from flairnb.data.pairs import DataPair as DataPair
from flairnb.data.pairs import TextPair as TextPair
from flairnb.data.sentence import DataPoint as DataPoint
from flairnb.data.sentence import Sentence as Sentence
from flairnb.data.sentence import Span as Span
from flairnb.data.sentence import Token as Token
from flairnb.data.tables import SentenceDataset as SentenceDataset
from flairnb.data.tables import SentenceTable as SentenceTable
from flairnb.tokenization import Tokenizer as Tokenizer


def _open_dictionary(name: Any) -> Any:
    "Names and files of Flair's, read by a later page that is imported only then"
    from flairnb.models.language_model import open_dictionary

    return open_dictionary(name)


OPENERS.append(_open_dictionary)
