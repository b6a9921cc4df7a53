"""Corpora: readers of files, and corpora by name."""

from typing import Any

from flairnb.datasets.catalogue import ALIASES, CATALOGUE, corpus_class

from flairnb.datasets.annotations import BratCorpus as BratCorpus
from flairnb.datasets.annotations import JsonlCorpus as JsonlCorpus
from flairnb.datasets.annotations import RecordsCorpus as RecordsCorpus
from flairnb.datasets.annotations import write_jsonl as write_jsonl
from flairnb.datasets.catalogue import SAMPLE_ENGLISH as SAMPLE_ENGLISH
from flairnb.datasets.columns import ColumnCorpus as ColumnCorpus
from flairnb.datasets.texts import ClassFilesCorpus as ClassFilesCorpus
from flairnb.datasets.texts import ClassificationCorpus as ClassificationCorpus
from flairnb.datasets.texts import CSVClassificationCorpus as CSVClassificationCorpus
from flairnb.datasets.columns import write_columns as write_columns
from flairnb.datasets.pairs import DataPairCorpus as DataPairCorpus
from flairnb.datasets.treebanks import (
    UniversalDependenciesCorpus as UniversalDependenciesCorpus,
)


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return corpus_class(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *CATALOGUE, *ALIASES})
