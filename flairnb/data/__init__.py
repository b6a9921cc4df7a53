"""Sentences, labels and corpora."""

from flairnb.data.corpus import Corpus as Corpus
from flairnb.data.corpus import SentenceDataset as SentenceDataset
from flairnb.data.corpus import SentenceTable as SentenceTable
from flairnb.data.labels import Dictionary as Dictionary
from flairnb.data.labels import Label as Label
from flairnb.data.sentence import DataPoint as DataPoint
from flairnb.data.sentence import Sentence as Sentence
from flairnb.data.sentence import Span as Span
from flairnb.data.sentence import Token as Token
from flairnb.tokenization import Tokenizer as Tokenizer
