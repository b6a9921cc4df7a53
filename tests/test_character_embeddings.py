"Vectors that are read from characters: right, whole, and the same in any company"

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from flairnb.batches import Batch
from flairnb.data.corpus import Corpus
from flairnb.data.labels import Dictionary
from flairnb.data.sentence import Sentence
from flairnb.data.tables import SentenceDataset
from flairnb.embeddings import CharacterEmbeddings, OneHotEmbeddings, StackedEmbeddings
from flairnb.embeddings.base import build, describe
from flairnb.embeddings.character import frequent_characters, spell
from flairnb.models import SequenceTagger
from flairnb.trainers import ModelTrainer

TEXTS = ["the cat sat on the mat", "a rat", "Ümit läuft 🙂 e\u0301t", "mat"]
quick = settings(derandomize=True, deadline=None, max_examples=40)


def dataset_of(texts=TEXTS):
    return SentenceDataset.of([Sentence(text) for text in texts])


def embeddings_for(texts=TEXTS, seed=0, **chosen):
    torch.manual_seed(seed)
    made = CharacterEmbeddings(**chosen)
    made.learn_from(dataset_of(texts))
    return made


def one_word(embeddings, word):
    "What torch's own bidirectional LSTM makes of one word"
    rnn = embeddings.char_rnn.layers[0]
    size, h = embeddings.char_embedding_dim, embeddings.hidden_size_char
    theirs = nn.LSTM(size, h, batch_first=True, bidirectional=True)
    for ending, ours in (("", "left_to_right"), ("_reverse", "right_to_left")):
        for name, value in rnn[ours].named_parameters():
            getattr(theirs, name + ending).data.copy_(value.data)
    numbers = embeddings.char_dictionary.get_idx_for_items(word)
    vectors = embeddings.char_embedding(torch.tensor([numbers]))
    _, (hidden, _) = theirs(vectors)
    return torch.cat([hidden[0, 0], hidden[1, 0]])


def test_equals_torchs_network_word_by_word():
    embeddings = embeddings_for()
    dataset = dataset_of()
    vectors = embeddings(Batch(dataset.table, dataset.rows))
    for row, sentence in zip(vectors, dataset, strict=True):
        for vector, token in zip(row, sentence, strict=False):
            expected = one_word(embeddings, token.text)
            assert torch.allclose(vector, expected, atol=1e-6), token.text
        assert not row[len(sentence) :].any()


@quick
@given(
    st.lists(
        st.lists(st.text("abcé🙂", min_size=1, max_size=9), min_size=1), min_size=1
    )
)
def test_company_changes_nothing(sentences):
    embeddings = embeddings_for(seed=1)
    together = [Sentence(words) for words in sentences]
    embeddings.embed(together)
    for sentence in together:
        alone = Sentence([token.text for token in sentence])
        embeddings.embed(alone)
        for token, other in zip(sentence, alone, strict=True):
            assert torch.allclose(token.embedding, other.embedding, atol=1e-6)


def test_gradients_reach_characters_and_network():
    embeddings, dataset = embeddings_for(), dataset_of()
    embeddings(Batch(dataset.table, dataset.rows)).square().sum().backward()
    for parameter in embeddings.parameters():
        assert parameter.grad is not None and parameter.grad.any()


def test_characters_are_those_that_train_has_twice():
    train = dataset_of(["aab", "b c", "c"])
    assert frequent_characters(train).get_items() == ["<unk>", "a", "b", "c"]
    assert frequent_characters(train, min_freq=3).get_items() == ["<unk>"]
    part = train.table
    only = SentenceDataset(part, train.rows[:1])
    assert frequent_characters(only).get_items() == ["<unk>", "a"]


@quick
@given(st.lists(st.text(max_size=6), max_size=8))
def test_spelling(words):
    numbers = {letter: i for i, letter in enumerate("abc", start=1)}
    characters, offsets = spell(words, numbers)
    assert offsets.tolist() == np.cumsum([0, *map(len, words)]).tolist()
    assert characters.tolist() == [numbers.get(c, 0) for c in "".join(words)]


def test_what_was_learned_stays():
    embeddings = embeddings_for(["aa bb"])
    before = embeddings.char_embedding.weight
    embeddings.learn_from(dataset_of(["cc dd"]))
    assert embeddings.char_embedding.weight is before


@pytest.mark.parametrize("as_file", [True, False])
def test_a_dictionary_of_ones_own(tmp_path, as_file):
    known = Dictionary.of("xyz", add_unk=True)
    known.save(tmp_path / "characters.json")
    embeddings = CharacterEmbeddings(tmp_path / "characters.json" if as_file else known)
    embeddings.learn_from(dataset_of())
    assert embeddings.char_dictionary == known


def test_a_file_that_is_no_dictionary(tmp_path):
    path = tmp_path / "characters"
    path.write_bytes(b"\x80\x04}q\x00.")
    with pytest.raises(ValueError, match="holds no dictionary"):
        CharacterEmbeddings(path)
    with pytest.raises(FileNotFoundError):
        CharacterEmbeddings(tmp_path / "nothing")


def test_before_training_every_character_is_unknown():
    embeddings = CharacterEmbeddings()
    sentence = embeddings.embed(Sentence("ab cd"))[0]
    assert torch.allclose(sentence[0].embedding, sentence[1].embedding)
    assert build(describe(embeddings)).char_dictionary.get_items() == ["<unk>"]


def test_a_long_word_and_an_empty_sentence():
    embeddings = embeddings_for()
    sentences = [Sentence(["m" * 10_000, "a"]), Sentence("")]
    embeddings.embed(sentences)
    assert sentences[0][0].embedding.isfinite().all()


def test_a_sentence_of_20_000_tokens():
    embeddings = embeddings_for()
    sentence = Sentence(["mat", "sat"] * 10_000)
    embeddings.embed(sentence)
    assert torch.equal(sentence[0].embedding, sentence[19_998].embedding)
    assert torch.allclose(sentence[1].embedding, one_word(embeddings, "sat"), atol=1e-6)


def test_each_distinct_word_is_read_once_a_batch():
    embeddings, read = embeddings_for(), []
    network = embeddings.char_rnn.forward

    def count(x, lengths, **chosen):
        read.extend(lengths.tolist())
        return network(x, lengths, **chosen)

    embeddings.char_rnn.forward = count
    texts = [*TEXTS, "the the mat", "a"]
    dataset = dataset_of(texts)
    embeddings(Batch(dataset.table, dataset.rows))
    distinct = {word for text in texts for word in text.split()}
    assert sorted(read) == sorted(map(len, distinct))


@pytest.mark.parametrize("sizes", [(25, 25), (3, 4)])
def test_flairs_sizes_and_a_round_trip(sizes):
    embeddings = embeddings_for(char_embedding_dim=sizes[0], hidden_size_char=sizes[1])
    assert embeddings.embedding_length == 2 * sizes[1]
    again = build(describe(embeddings))
    again.load_state_dict(embeddings.state_dict())
    dataset = dataset_of()
    batch = Batch(dataset.table, dataset.rows)
    assert torch.equal(again(batch), embeddings(batch))
    assert CharacterEmbeddings().embedding_length == 50


def labelled(text):
    sentence = Sentence(text)
    for token in sentence:
        token.set_label("kind", "vowel" if token.text[-1] in "aeiou" else "other")
    return sentence


def test_a_tagger_learns_endings_saves_them_and_knows_them_again(tmp_path):
    texts = ["ba bot", "li lit", "to tob se", "mat ma tem", "ro rom", "nu tun ne"]
    splits = [[labelled(text) for text in texts * times] for times in (6, 1, 1)]
    corpus = Corpus(*splits, name="endings", sample_missing_splits=False)
    torch.manual_seed(3)
    stack = StackedEmbeddings(
        [CharacterEmbeddings(), OneHotEmbeddings.from_corpus(corpus, min_freq=99)]
    )
    tags = corpus.make_label_dictionary("kind")
    tagger = SequenceTagger(stack, tags, "kind", hidden_size=8)
    trainer = ModelTrainer(tagger, corpus)
    trainer.train(tmp_path, max_epochs=8, mini_batch_size=8, seed=1)
    loaded = SequenceTagger.load(tmp_path / "final-model.pt")
    parts = loaded.embeddings.parts
    assert parts[0].char_dictionary == stack.parts[0].char_dictionary
    new = Sentence("ta tas bri brin")
    loaded.predict(new)
    found = [token.get_label("kind").value for token in new]
    assert found == ["vowel", "other", "vowel", "other"]


def test_characters_of_flair_are_taken_from_its_own_file():
    "Written by Flair's `Dictionary.save`; see make_flair_fixtures.py"
    file = Path(__file__).parent / "data" / "flair" / "characters"
    made = CharacterEmbeddings(path_to_char_dict=file)
    known = Dictionary.load(file)
    assert len(known) > 5 and made.char_dictionary == known
