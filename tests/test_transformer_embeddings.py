"Transformers as embeddings, against the library by hand and against Flair's own vectors"

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from tiny_transformers import KINDS, make
from transformers import AutoModel, AutoTokenizer

from flairnb.batches import Batch
from flairnb.data import Sentence
from flairnb.data.tables import SentenceDataset, table_of
from flairnb.embeddings import (
    StackedEmbeddings,
    TransformerDocumentEmbeddings,
    TransformerWordEmbeddings,
    transformer,
)
from flairnb.embeddings.base import build, describe

DATA = Path(__file__).parent / "data" / "transformer"
TEXTS = [
    "George Washington went to Washington",
    "I",
    "the unreadable shells of New York , written in 1984 !",
    "\u200b lovely \u200d",
    "and was it loved",
]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    "Folders of tiny models, made when asked for"
    home, made = tmp_path_factory.mktemp("models"), {}

    def folder(kind="bert", **options):
        key = kind + "".join(f"-{k}-{v}" for k, v in sorted(options.items()))
        if key not in made:
            made[key] = str(make(home / key, kind, **options))
        return made[key]

    return folder


def sentences_of(texts=TEXTS):
    return [Sentence(text.split(" ")) for text in texts]


def batch_of(sentences, document=False, starts=()):
    "One batch; as one file if it is a document, with more that begin at `starts`"
    table = table_of(sentences)
    if document:
        table.files = np.array([0, len(sentences)])
        table.breaks = np.array([0, *starts])
    return Batch(table, np.arange(len(sentences)))


def vectors_of(embeddings, batch):
    with torch.no_grad():
        return embeddings.eval()(batch)


class ByHand:
    "The library alone: one sentence at a time"

    def __init__(self, folder):
        self.tokenizer = AutoTokenizer.from_pretrained(folder, add_prefix_space=True)
        backend = self.tokenizer.backend_tokenizer
        if "ByteLevel" in str(backend.pre_tokenizer):  # transformers 5 forgets it
            backend.pre_tokenizer.add_prefix_space = True
        self.model = AutoModel.from_pretrained(folder).eval()

    def layers(self, words):
        "All layers, (layers, sub-tokens, d), and the word of each sub-token"
        made = self.tokenizer([words], is_split_into_words=True, return_tensors="pt")
        keys = ("input_ids", "attention_mask")
        with torch.no_grad():
            out = self.model(**{k: made[k] for k in keys}, output_hidden_states=True)
        states = [*out.hidden_states[:-1], out.last_hidden_state]
        return torch.cat(states), made.word_ids(0)

    def words(self, words, pick, pooling):
        states, owners = self.layers(words)
        states, rows = pick(states), []  # (sub-tokens, d)
        width = states.shape[-1] * (2 if pooling == "first_last" else 1)
        for number in range(len(words)):
            mine = [place for place, owner in enumerate(owners) if owner == number]
            if not mine:
                rows.append(torch.zeros(width))
                continue
            first, last = states[mine[0]], states[mine[-1]]
            rows.append(
                {
                    "first": first,
                    "last": last,
                    "first_last": torch.cat([first, last]),
                    "mean": states[mine].mean(0),
                }[pooling]
            )
        return torch.stack(rows)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pooling", ["first", "last", "first_last", "mean"])
def test_words_equal_the_library_by_hand(models, kind, pooling):
    hand = ByHand(models(kind))
    made = TransformerWordEmbeddings(models(kind), subtoken_pooling=pooling)
    batch = batch_of(sentences_of())
    found = vectors_of(made, batch)
    assert found.shape[-1] == made.embedding_length
    for row, sentence in enumerate(sentences_of()):
        wanted = hand.words(sentence.words, lambda states: states[-1], pooling)
        torch.testing.assert_close(
            found[row, : len(wanted)], wanted, atol=1e-5, rtol=1e-5
        )
        assert not found[row, len(wanted) :].any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("layers", "numbers"), [("all", [0, 1, 2]), ("-1,-2", [2, 1]), ("0", [0])]
)
def test_layers_equal_the_library_by_hand(models, kind, layers, numbers):
    hand, sentences = ByHand(models(kind)), sentences_of(TEXTS[:3])
    near = {"atol": 1e-5, "rtol": 1e-5}
    for mean in (True, False):
        made = TransformerWordEmbeddings(models(kind), layers=layers, layer_mean=mean)

        def pick(states, mean=mean):
            some = states[numbers]
            return some.mean(0) if mean else torch.cat([*some], -1)

        found = vectors_of(made, batch_of(sentences))
        for row, sentence in enumerate(sentences):
            wanted = hand.words(sentence.words, pick, "first")
            torch.testing.assert_close(found[row, : len(wanted)], wanted, **near)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("layers", "blocks"), [("-1", 3), ("1,-2", 2), ("0", 0)])
def test_only_the_layers_asked_for_are_computed(models, kind, layers, blocks):
    deep = {"n_layers": 3} if kind == "distilbert" else {"num_hidden_layers": 3}
    made = TransformerWordEmbeddings(models(kind, **deep), layers=layers)
    calls = []
    count = made.encoder.model.config.num_hidden_layers
    inner = next(
        part
        for part in made.encoder.model.modules()
        if isinstance(part, torch.nn.ModuleList) and len(part) == count
    )
    assert len(inner) == max(blocks, 1)
    for block in inner:
        forward = block.forward

        def counted(*args, _forward=forward, **named):
            calls.append(1)
            return _forward(*args, **named)

        block.forward = counted
    vectors_of(made, batch_of(sentences_of()[:1]))
    assert len(calls) == blocks


@pytest.mark.parametrize("layers", ["-1", "all"])
def test_groups_of_like_length_give_the_same_states_and_gradients(
    models, monkeypatch, layers
):
    made, found = TransformerWordEmbeddings(models(), layers=layers).eval(), {}
    weights = list(made.parameters())
    for call in (0, 10_000):
        monkeypatch.setitem(transformer.CALL_COSTS, "cpu", call)
        vectors = made(batch_of(sentences_of()))
        gradients = torch.autograd.grad(vectors.square().sum(), weights, None, True)
        found[call] = [vectors, *gradients]
    torch.testing.assert_close(found[0], found[10_000], atol=1e-5, rtol=1e-4)


def test_words_that_the_tokenizer_drops_are_zero(models):
    made = TransformerWordEmbeddings(models())
    found = vectors_of(made, batch_of([Sentence(["\u200b", "love", "\u200d"])]))[0]
    assert not found[0].any() and found[1].any() and not found[2].any()
    nothing = vectors_of(made, batch_of([Sentence(["\u200b"]), Sentence("")]))
    assert nothing.shape == (2, 1, 16) and not nothing.any()


def test_words_are_cut_once_for_a_corpus(models):
    for made in (
        TransformerWordEmbeddings(models(), fine_tune=False),
        TransformerDocumentEmbeddings(models(), fine_tune=False, use_context=True),
    ):
        calls, tokenizer = [], made.encoder.tokenizer
        inner = tokenizer._batch_encode_plus if hasattr(tokenizer, "_batch_encode_plus") else tokenizer._encode_plus  # fmt: skip
        name = inner.__name__

        def counted(*args, _inner=inner, _calls=calls, **named):
            _calls.append(1)
            return _inner(*args, **named)

        setattr(tokenizer, name, counted)
        batch = batch_of(sentences_of(), document=True)
        for _ in range(3):
            for part in batch.chunks(2):
                vectors_of(made, part)
        assert len(calls) == 1


def long_sentence(count, seed=0):
    "So many words, some in several pieces"
    words = "George the unreadable sea shells went loved x in 1984 ,".split()
    return Sentence(np.random.default_rng(seed).choice(words, count).tolist())


@pytest.mark.parametrize("pooling", ["first", "last", "mean"])
@pytest.mark.parametrize("kind", ["bert", "roberta", "modernbert"])
def test_long_sentences_are_read_in_windows_that_overlap(models, kind, pooling):
    limit, hand = 20, ByHand(models(kind, limit=20))
    made = TransformerWordEmbeddings(models(kind, limit=20), subtoken_pooling=pooling)
    assert made.encoder.limit == limit
    sentences = [long_sentence(n, n) for n in (3, 60, 9, 1, 25)]
    found = vectors_of(made, batch_of(sentences))
    for row, sentence in enumerate(sentences):
        frame = hand.tokenizer([sentence.words], is_split_into_words=True)
        ids, owners = frame["input_ids"][0], frame.word_ids(0)
        before, text, behind = ids[:1], ids[1:-1], ids[-1:]
        room, step = limit - 2, limit - 2 - limit // 2
        states, starts = {}, range(0, max(len(text) - room, 0) + step, step)
        for start in starts if len(text) > room else [0]:
            window = torch.tensor([[*before, *text[start : start + room], *behind]])
            with torch.no_grad():
                out = hand.model(input_ids=window)[0][0, 1:-1]
            for place, state in enumerate(out):
                margin = min(place, room - 1 - place) if len(text) > room else 0
                margin += room if start + place < limit // 4 else 0  # begin of text
                states.setdefault(start + place, []).append((margin, start, state))
        assert len(states) == len(text)
        for number in range(len(sentence)):
            mine = [p for p, owner in enumerate(owners[1:-1]) if owner == number]
            near = [candidates(states[place]) for place in mine]
            got = found[row, number]
            assert got.any()
            if pooling == "mean":
                options = [torch.stack(near_one) for near_one in near]
                best = [part.mean(0) for part in options if len(part) == 1]
                if len(best) == len(mine):
                    torch.testing.assert_close(
                        got, torch.stack(best).mean(0), atol=1e-5, rtol=1e-5
                    )
                continue
            states_of = near[0 if pooling == "first" else -1]
            assert min((got - state).abs().max() for state in states_of) < 1e-5


def candidates(found):
    "The states from the window where the place is nearest to the middle, or as near"
    best = max(margin for margin, _, _ in found)
    return [state for margin, _, state in found if margin >= best - 1]


def test_long_sentences_can_be_cut(models, caplog):
    made = TransformerWordEmbeddings(models(limit=20), allow_long_sentences=False)
    short, long = Sentence("George loved".split()), Sentence(["love"] * 40)
    found = vectors_of(made, batch_of([long, short]))
    assert found[0, :18].any(-1).all() and not found[0, 18:].any()
    assert found[1, :2].any(-1).all()
    cut = vectors_of(made, batch_of([Sentence(["love"] * 18)]))
    torch.testing.assert_close(found[0, :18], cut[0], atol=1e-6, rtol=1e-6)


def test_documents_that_are_cut_are_counted_once(models, caplog):
    made = TransformerDocumentEmbeddings(models(limit=20), cls_pooling="mean")
    sentences = [Sentence(["love"] * n) for n in (5, 40, 18, 19, 100)]
    batch = batch_of(sentences)
    for part in [*batch.chunks(1), batch]:
        vectors_of(made, part)
    warnings = [x.getMessage() for x in caplog.records if x.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "3 of 5 texts are longer than the 18 sub-tokens" in warnings[0]
    cut = vectors_of(made, batch_of([Sentence(["love"] * 18)]))[0]
    for row in (1, 2, 3, 4):
        torch.testing.assert_close(
            vectors_of(made, batch)[row], cut, atol=1e-6, rtol=1e-6
        )


@pytest.mark.parametrize("pooling", ["cls", "max", "mean"])
def test_documents_are_read_in_windows_on_request(models, caplog, pooling):
    made = TransformerDocumentEmbeddings(
        models(limit=20), cls_pooling=pooling, truncate=False
    )
    words = TransformerWordEmbeddings(models(limit=20), subtoken_pooling="first")
    short, long = Sentence("love it".split()), Sentence(["love", "x"] * 30)
    found = vectors_of(made, batch_of([short, long]))
    alone = vectors_of(made, batch_of([long]))
    torch.testing.assert_close(found[1], alone[0], atol=1e-6, rtol=1e-6)
    assert not caplog.records
    tokens = vectors_of(words, batch_of([long]))[0]
    hand, ids = ByHand(models(limit=20)), []
    ids = hand.tokenizer([long.words], is_split_into_words=True)["input_ids"][0]
    ends = [ids[:19], ids[1:][-((len(ids) - 2 - 18) % 8 + 18 - 7) :]]
    with torch.no_grad():
        first = hand.model(input_ids=torch.tensor([[*ends[0], ids[-1]]]))[0][0, 0]
    if pooling == "cls":
        torch.testing.assert_close(found[1], first, atol=1e-5, rtol=1e-5)
    elif pooling == "mean":  # 60 words and the two ends of the frame
        rest = found[1] * 62 - tokens.sum(0) - first
        assert torch.isfinite(rest).all() and rest.abs().max() < 20
    else:
        assert (found[1] >= tokens.amax(0) - 1e-5).all()


# Flair's own vectors: written by tests/make_transformer_fixtures.py under Flair 0.15.1


def flair_cases():
    with safe_open(DATA / "flair.safetensors", "pt") as file:
        told = json.loads(file.metadata()["cases"])
        return told, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


TOLD, VECTORS = flair_cases()


def flair_sentences():
    "As objects that know each other, a new document where Flair has its mark"
    rows = [Sentence(text.split(" ")) for part in TOLD["documents"] for text in part]
    rows[len(TOLD["documents"][0])].start_of_document = True
    return rows


def as_table(rows):
    return batch_of(rows, True, [len(TOLD["documents"][0])])


def as_linked(rows):
    Sentence.set_context_for_sentences(rows)
    dataset = SentenceDataset.of(rows)
    return Batch(dataset.table, dataset.rows)


def as_named(rows):
    cut = len(TOLD["documents"][0])
    for place, row in enumerate(rows):  # a list says itself where the document ends
        mine = range(cut) if place < cut else range(cut, len(rows))
        before = [rows[p] for p in mine if p < place]
        row.set_context(before, [rows[p] for p in mine if p > place])
    return Batch(table_of(rows), np.arange(len(rows)))


@pytest.mark.parametrize("arrange", [as_table, as_linked])
@pytest.mark.parametrize("name", TOLD["words"])
def test_words_equal_flair(name, arrange):
    options = TOLD["words"][name]
    made = TransformerWordEmbeddings(DATA / "bert", fine_tune=False, **options)
    batch = arrange(flair_sentences())
    found = vectors_of(made, batch)[batch.mask]
    torch.testing.assert_close(found, VECTORS[name], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("arrange", [as_table, as_linked])
@pytest.mark.parametrize("name", TOLD["texts"])
def test_documents_equal_flair(name, arrange):
    options = dict(TOLD["texts"][name])
    options["truncate"] = not options.pop("allow_long_sentences", False)
    made = TransformerDocumentEmbeddings(DATA / "bert", fine_tune=False, **options)
    found = vectors_of(made, arrange(flair_sentences()))
    torch.testing.assert_close(found, VECTORS[name], atol=1e-4, rtol=1e-4)


def test_flairs_cases_differ_from_each_other():
    plain, context = VECTORS["plain"], VECTORS["context of three"]
    assert (plain - context).abs().max() > 0.1
    assert (VECTORS["context across"] - context).abs().max() > 0.1
    assert (VECTORS["cls"] - VECTORS["mean of texts"]).abs().max() > 0.1


# Context


@pytest.fixture
def flert():
    def make_one(**options):
        given = {"use_context": 6, "fine_tune": False} | options
        return TransformerWordEmbeddings(DATA / "bert", **given)

    return make_one


def test_neighbours_count_also_when_they_were_not_sampled(flert):
    rows = flair_sentences()
    made, whole = flert(), as_table(rows)
    every = vectors_of(made, whole)
    some = np.array([5, 1, 3])
    found = vectors_of(made, Batch(whole.table, some))
    for place, row in enumerate(some):
        size = len(rows[row])
        torch.testing.assert_close(found[place, :size], every[row, :size])


def test_one_sentence_has_the_context_that_the_user_gave(flert):
    rows, made = flair_sentences(), flert()
    every = vectors_of(made, as_table(flair_sentences()))
    alone = rows[1].words
    for arrange in (as_linked, as_named):
        arrange(rows)
        made.embed(rows[1])
        found = torch.stack([token.embedding for token in rows[1]])
        torch.testing.assert_close(found, every[1, : len(alone)], atol=1e-6, rtol=1e-6)
    bare = Sentence(alone)
    made.embed(bare)
    assert (torch.stack([t.embedding for t in bare]) - found).abs().max() > 0.01


def test_a_call_never_links_sentences(flert):
    made, rows = flert(), flair_sentences()
    together = made.embed(rows)
    assert not any(row.is_context_set() for row in rows)
    assert rows[0].next_sentence() is None
    alone = flair_sentences()
    for row in alone:
        made.embed(row)
    for one, other in zip(together, alone, strict=True):
        left, right = (torch.stack([t.embedding for t in x]) for x in (one, other))
        torch.testing.assert_close(left, right, atol=1e-5, rtol=1e-5)


def test_the_context_is_not_part_of_what_comes_out(flert):
    rows = flair_sentences()[:2]
    rows[0].set_context(after=rows[1])
    flert().embed(rows)
    assert [len(row) for row in rows] == [6, 10]
    assert len(rows[1][0].embedding) == 16


def test_a_ring_of_neighbours_ends(flert):
    one, other = Sentence(["love"]), Sentence(["sea"])
    one.set_context(other, other)
    other.set_context(one, one)
    flert(use_context=True).embed([one, other])
    empty = Sentence("")
    empty.set_context(empty, empty)
    one.set_context(empty, empty)
    flert().embed(one)
    assert one[0].embedding.any()


def test_context_can_only_be_sentences():
    with pytest.raises(TypeError, match="context is made of sentences, not of str"):
        Sentence("a").set_context("It rains.")


def test_copies_of_a_sentence_have_no_neighbours():
    one = Sentence("It rains.").set_context(Sentence("So."), [Sentence("Well?")])
    for twin in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert twin.text == one.text and not twin.is_context_set()


def test_dropped_context_is_seeded_and_only_in_training(flert):
    batch = as_table(flair_sentences())
    made = flert(fine_tune=True, context_dropout=0.5)
    for part in made.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    made.encoder.model.config.attention_probs_dropout_prob = 0.0
    for part in made.encoder.model.modules():
        if hasattr(part, "dropout_prob"):
            part.dropout_prob = 0.0
    with torch.no_grad():
        wanted = made.eval()(batch)
        torch.testing.assert_close(made(batch), wanted)
        made.train()
        drawn = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            drawn.append(made(batch))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], wanted)
    fixed = flert(fine_tune=False, context_dropout=1.0).train()
    assert torch.equal(fixed(batch), wanted)


# Training


@pytest.mark.parametrize("layers", ["-1", "-1,-2", "all"])
def test_checkpointing_gives_the_same_gradients(models, layers):
    quiet = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    folder, batch, found = models("bert", **quiet), batch_of(sentences_of()), []
    for saving in (False, True):
        made = TransformerWordEmbeddings(
            folder, layers=layers, gradient_checkpointing=saving
        ).train()
        made(batch).square().sum().backward()
        found.append({n: p.grad for n, p in made.named_parameters()})
    assert sum(grad is not None for grad in found[0].values()) > 20
    for name, grad in found[0].items():
        torch.testing.assert_close(found[1][name], grad, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    "kind", [TransformerWordEmbeddings, TransformerDocumentEmbeddings]
)
def test_fine_tune_decides_whether_weights_learn(models, kind):
    batch = batch_of(sentences_of())
    fixed = kind(models(), fine_tune=False).train()
    assert not fixed(batch).requires_grad and fixed.storable
    assert not any(p.requires_grad for p in fixed.parameters())
    assert torch.equal(fixed(batch), fixed(batch))  # nothing is dropped
    made = kind(models(), fine_tune=True).train()
    made(batch).sum().backward()
    assert not made.storable
    word = made.encoder.model.get_input_embeddings()
    assert word.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("pooling", ["first", "mean", "first_last"])
def test_half_precision_by_autocast_is_near(models, pooling):
    made = TransformerWordEmbeddings(models(), subtoken_pooling=pooling)
    batch = batch_of(sentences_of())
    wanted = vectors_of(made, batch)
    with torch.autocast("cpu", torch.bfloat16):
        found = vectors_of(made, batch)
    assert 0 < (found - wanted).abs().max() < 0.2
    made.train()
    with torch.autocast("cpu", torch.bfloat16):
        made(batch).float().square().sum().backward()
    assert all(
        p.grad is None or (p.grad.isfinite().all() and p.grad.dtype == torch.float32)
        for p in made.parameters()
    )


@pytest.mark.parametrize("pooling", ["cls", "mean", "max"])
def test_documents_in_half_precision_are_near(models, pooling):
    made = TransformerDocumentEmbeddings(models(), cls_pooling=pooling)
    batch = batch_of([Sentence(["love", "sea"] * 150), Sentence(["x"])])
    wanted = vectors_of(made, batch)
    with torch.autocast("cpu", torch.bfloat16):
        found = vectors_of(made, batch)
    assert (found - wanted).abs().max() < 0.3


def test_adapters_are_all_that_is_trained(models):
    peft = pytest.importorskip("peft", reason="the extra peft is not installed")
    config = peft.LoraConfig(r=2, target_modules=["query", "value"])
    made = TransformerWordEmbeddings(models(), peft_config=config).train()
    trained = [n for n, p in made.named_parameters() if p.requires_grad]
    assert trained and all("lora_" in name for name in trained)
    batch = batch_of(sentences_of())
    made(batch).square().sum().backward()
    grads = [p.grad for p in made.parameters() if p.requires_grad]
    assert any(grad.abs().sum() > 0 for grad in grads)
    with torch.no_grad():
        for part in made.parameters():
            if part.requires_grad:
                part.normal_()
    again = build(json.loads(json.dumps(describe(made))))
    again.load_state_dict(made.state_dict())
    assert torch.equal(vectors_of(again, batch), vectors_of(made, batch))
    plain = TransformerWordEmbeddings(models())
    assert not torch.equal(vectors_of(plain, batch), vectors_of(made, batch))


# Model files


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"layers": "-2,0", "use_context": True}])
def test_embeddings_are_made_again_from_their_description(models, kind, options):
    made = TransformerWordEmbeddings(models(kind), **options)
    again = build(json.loads(json.dumps(describe(made))))
    again.load_state_dict(made.state_dict())
    batch = batch_of(sentences_of(), document=True)
    assert torch.equal(vectors_of(again, batch), vectors_of(made, batch))
    assert again.name == made.name and settled(again) == settled(made)


def settled(made):
    "A description, marks of the tokenizer told by their text alone, as some versions do"
    config = made.config()
    files = config["model"]["tokenizer"]
    marks = json.loads(files.pop("special_tokens_map.json", "{}"))
    plain = {k: x["content"] if isinstance(x, dict) else x for k, x in marks.items()}
    return config, plain


def test_a_description_names_no_folder(models):
    made = TransformerWordEmbeddings(models(), name="tiny")
    again = build(json.loads(json.dumps(describe(made))))
    for one in (made, again):
        text = json.dumps(describe(one))
        assert str(Path(models()).parent) not in text and "/tmp" not in text


def test_copies_compute_the_same(models):
    made = TransformerDocumentEmbeddings(models())
    batch = batch_of(sentences_of())
    wanted = vectors_of(made, batch)
    for twin in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert torch.equal(vectors_of(twin, batch), wanted)


def test_transformers_of_other_widths_stack(models):
    wide = models("bert", hidden_size=24)
    parts = [
        TransformerWordEmbeddings(models(), name="a"),
        TransformerWordEmbeddings(wide, name="b"),
    ]
    stack, batch = StackedEmbeddings(parts), batch_of(sentences_of())
    found = vectors_of(stack, batch)
    assert found.shape[-1] == stack.embedding_length == 40
    assert torch.equal(found[..., :16], vectors_of(parts[0], batch))
    assert torch.equal(found[..., 16:], vectors_of(parts[1], batch))


# Bad input


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_twenty_thousand_words_are_read(models, kind):
    made = TransformerWordEmbeddings(models(kind), fine_tune=False)
    found = vectors_of(made, batch_of([Sentence(["love"] * 20_000), Sentence("it")]))
    assert found.shape == (2, 20_000, 16)
    assert found[0].any(-1).all() and found.isfinite().all()


@pytest.mark.parametrize("pooling", ["mean", "first_last"])
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_word_of_ten_thousand_characters_is_read(models, kind, pooling):
    made = TransformerWordEmbeddings(models(kind), subtoken_pooling=pooling)
    found = vectors_of(made, batch_of([Sentence(["x" * 10_000, "love"])]))
    assert found[0].any(-1).all() and found.isfinite().all()


WRONG = [
    ({"layers": "99"}, "layers 0 .its input. to 2"),
    ({"layers": "-4"}, "layers 0 .its input. to 2"),
    ({"layers": "last"}, "numbers such as '-1,-2', not 'last'"),
    ({"layers": ""}, "not ''"),
    ({"use_context": -1}, "use_context is True, False or a number"),
    ({"context_dropout": 1.5}, "context_dropout"),
]


@pytest.mark.parametrize(("options", "message"), WRONG)
@pytest.mark.parametrize(
    "kind", [TransformerWordEmbeddings, TransformerDocumentEmbeddings]
)
def test_wrong_settings_are_named(models, kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(models(), **options)


def test_an_unknown_pooling_is_named(models):
    with pytest.raises(ValueError, match="first, last, first_last, mean, not 'middle'"):
        TransformerWordEmbeddings(models(), subtoken_pooling="middle")
    with pytest.raises(ValueError, match="cls, max, mean, not 'min'"):
        TransformerDocumentEmbeddings(models(), cls_pooling="min")


def test_a_folder_without_a_tokenizer_is_named(tmp_path):
    folder = make(tmp_path / "bare")
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises((OSError, ValueError), match=r"bare.*holds no tokenizer"):
        TransformerWordEmbeddings(folder)


def test_a_slow_tokenizer_alone_is_refused(tmp_path):
    folder = make(tmp_path / "slow")
    for file in folder.glob("tokenizer*"):
        file.unlink()
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nの\n")
    config = {"tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "basic"}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises((OSError, ValueError), match=r"tokenizer\.json"):
        TransformerWordEmbeddings(folder)


def test_a_folder_without_weights_is_named(tmp_path):
    folder = make(tmp_path / "empty")
    (folder / "model.safetensors").unlink()
    with pytest.raises(OSError, match="empty"):
        TransformerWordEmbeddings(folder)
    (folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no config\.json"):
        TransformerWordEmbeddings(folder)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "a/b/c"])
def test_a_path_that_is_not_there_is_no_name(name):
    with pytest.raises(FileNotFoundError, match=f"there is no folder {name}"):
        TransformerWordEmbeddings(name)


def test_offline_a_missing_model_says_where_it_was_looked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("FLAIRNB_OFFLINE", "1")
    monkeypatch.setenv("FLAIRNB_CACHE_ROOT", str(tmp_path / "cache"))
    monkeypatch.setenv("FLAIRNB_MIRRORS", f"{tmp_path / 'mirror'};https://x.invalid/y")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    with pytest.raises(OSError, match="no-such-model") as caught:
        TransformerWordEmbeddings("no-such-model")
    message = str(caught.value)
    for part in ("cache", "mirror"):
        assert str(tmp_path / part / "transformers" / "no-such-model") in message
    assert "FLAIRNB_OFFLINE forbids the hub" in message


def test_a_mirror_has_the_model(monkeypatch, tmp_path):
    monkeypatch.setenv("FLAIRNB_OFFLINE", "1")
    monkeypatch.setenv("FLAIRNB_CACHE_ROOT", str(tmp_path / "cache"))
    monkeypatch.setenv("FLAIRNB_MIRRORS", str(tmp_path / "mirror"))
    folder = make(tmp_path / "mirror" / "transformers" / "group" / "tiny")
    batch = batch_of(sentences_of())
    found = vectors_of(TransformerWordEmbeddings("group/tiny"), batch)
    assert torch.equal(vectors_of(TransformerWordEmbeddings(folder), batch), found)
