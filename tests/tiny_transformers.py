"Tiny transformers with random weights and their fast tokenizers, in folders as on the hub"

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, processors
from tokenizers import pre_tokenizers as splitters

KINDS = (
    "bert",
    "roberta",
    "xlm-roberta",
    "distilbert",
    "electra",
    "deberta-v2",
    "modernbert",
)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.,;:!?-'()%$&/"
PIECES = (  # Ġ stands for the space before a word
    *("Ġthe", "Ġof", "Ġand", "Ġto", "Ġin", "Ġwas", "Ġis", "ing", "ed", "er", "es"),
    *("Ġlove", "ĠBerlin", "ĠGeorge", "ĠWash", "ton", "ĠNew", "ĠYork", "Ġwent"),
    *("Ġread", "Ġwrite", "Ġun", "able", "ation", "ly", "Ġsea", "shell", "Ġquick"),
)
MARKS = {  # padding, unknown, before a text, behind it, mask
    "bert": ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    "roberta": ("<pad>", "<unk>", "<s>", "</s>", "<mask>"),
}
LIKE_ROBERTA = ("roberta", "xlm-roberta")
SHAPE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
TOKENIZER_CLASSES = {
    "bert": "BertTokenizer",
    "roberta": "RobertaTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
    "distilbert": "DistilBertTokenizer",
    "electra": "ElectraTokenizer",
    "deberta-v2": "DebertaV2Tokenizer",
    "modernbert": "PreTrainedTokenizerFast",
}


def marks_of(kind):
    "Padding, unknown, before a text, behind it, mask"
    return MARKS["roberta" if kind in LIKE_ROBERTA else "bert"]


def special_order(kind):
    "Special tokens by their number; where RoBERTa's padding stands sets its positions"
    padding, unknown, before, behind, mask = marks_of(kind)
    if kind in LIKE_ROBERTA:
        return [before, padding, behind, unknown, mask]
    return [padding, unknown, before, behind, mask]


def bare_tokenizer(kind):
    "A tokenizer of the family's own sort, made without chance"
    special, unknown = special_order(kind), marks_of(kind)[1]
    if kind in ("roberta", "modernbert"):
        merges = {}
        for piece in PIECES:
            for size in range(1, len(piece)):
                merges.setdefault((piece[:size], piece[size]))
        merged = ["".join(pair) for pair in merges]
        vocabulary = [*special, *sorted(splitters.ByteLevel.alphabet()), *merged]
        numbers = {piece: number for number, piece in enumerate(vocabulary)}
        made = Tokenizer(models.BPE(numbers, list(merges)))
        made.pre_tokenizer = splitters.ByteLevel(add_prefix_space=kind == "roberta")
        return made
    if kind in ("xlm-roberta", "deberta-v2"):
        scores = dict.fromkeys(special, 0.0) | dict.fromkeys("▁" + LETTERS, -5.0)
        scores |= {piece.replace("Ġ", "▁"): -6.0 for piece in PIECES}
        number = special.index(unknown)
        made = Tokenizer(models.Unigram(list(scores.items()), unk_id=number))
        made.normalizer = normalizers.NFKC()
        made.pre_tokenizer = splitters.Metaspace()
        return made
    small = LETTERS[26:]
    pieces = {piece.strip("Ġ").lower(): None for piece in PIECES}
    vocabulary = [*special, *small, *(f"##{x}" for x in small), *pieces, "##s", "##ing"]
    numbers = {x: n for n, x in enumerate(dict.fromkeys(vocabulary))}
    made = Tokenizer(models.WordPiece(numbers, unk_token=unknown))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = splitters.BertPreTokenizer()
    return made


def make_tokenizer(folder, kind="bert", limit=512):
    "Write `tokenizer.json` and what stands beside it; returns the size of the vocabulary"
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    made = bare_tokenizer(kind)
    padding, unknown, before, behind, mask = marks_of(kind)
    numbers = [(mark, made.token_to_id(mark)) for mark in (before, behind)]
    pair = f"{before} $A {behind} $B {behind}"
    made.post_processor = processors.TemplateProcessing(
        single=f"{before} $A {behind}", pair=pair, special_tokens=numbers
    )
    made.add_special_tokens(special_order(kind))
    made.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": TOKENIZER_CLASSES[kind],
        "model_max_length": limit,
        "pad_token": padding,
        "unk_token": unknown,
        "cls_token": before,
        "sep_token": behind,
        "mask_token": mask,
    }
    if kind in LIKE_ROBERTA:
        config |= {"bos_token": before, "eos_token": behind}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return made.get_vocab_size()


def make_config(kind, vocabulary, limit=512, **more):
    "The configuration of a tiny model; `more` goes over it"
    from transformers import AutoConfig

    padding = 1 if kind in LIKE_ROBERTA else 0
    given = {"vocab_size": vocabulary, "pad_token_id": padding}
    given["max_position_embeddings"] = limit + (2 if kind in LIKE_ROBERTA else 0)
    if kind == "distilbert":
        given |= {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}
    else:
        given |= SHAPE | {"intermediate_size": 32}
    if kind in LIKE_ROBERTA:
        given |= {"bos_token_id": 0, "eos_token_id": 2, "type_vocab_size": 1}
    if kind == "electra":
        given |= {"embedding_size": 8}
    if kind == "deberta-v2":
        given |= {
            "relative_attention": True,
            "position_buckets": 8,
            "pos_att_type": ["p2c", "c2p"],
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
            "type_vocab_size": 0,
            "position_biased_input": False,
        }
    if kind == "modernbert":
        given |= {"global_attn_every_n_layers": 2, "local_attention": 8}
        given |= dict.fromkeys(("bos_token_id", "cls_token_id"), 2)
        given |= dict.fromkeys(("eos_token_id", "sep_token_id"), 3)
    return AutoConfig.for_model(kind, **(given | more))


def make(folder, kind="bert", limit=512, seed=0, **more):
    "Write a tiny model of a family (one of `KINDS`) into a folder; returns the folder"
    from transformers import AutoModel

    size = make_tokenizer(folder, kind, limit)
    config = make_config(kind, size, limit, **more)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModel.from_config(config)
        for weight in model.parameters():  # wide enough for layers to differ
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    return Path(folder)
