"""Words and sentences as vectors."""

from flairnb.embeddings.base import DocumentEmbeddings as DocumentEmbeddings
from flairnb.embeddings.base import Embeddings as Embeddings
from flairnb.embeddings.base import StackedEmbeddings as StackedEmbeddings
from flairnb.embeddings.base import TokenEmbeddings as TokenEmbeddings
from flairnb.embeddings.character import CharacterEmbeddings as CharacterEmbeddings
from flairnb.embeddings.document import DocumentPoolEmbeddings as DocumentPoolEmbeddings
from flairnb.embeddings.document import DocumentRNNEmbeddings as DocumentRNNEmbeddings
from flairnb.embeddings.document import (
    DocumentTFIDFEmbeddings as DocumentTFIDFEmbeddings,
)
from flairnb.embeddings.document import (
    SentenceTransformerDocumentEmbeddings as SentenceTransformerDocumentEmbeddings,
)
from flairnb.embeddings.flair import FlairEmbeddings as FlairEmbeddings
from flairnb.embeddings.flair import PooledFlairEmbeddings as PooledFlairEmbeddings
from flairnb.embeddings.transformer import (
    TransformerDocumentEmbeddings as TransformerDocumentEmbeddings,
)
from flairnb.embeddings.transformer import (
    TransformerWordEmbeddings as TransformerWordEmbeddings,
)
from flairnb.embeddings.word import OneHotEmbeddings as OneHotEmbeddings
from flairnb.embeddings.word import WordEmbeddings as WordEmbeddings
