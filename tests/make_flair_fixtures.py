"""Make `tests/data/flair`: run by a Python that has Flair 0.15.1, never by the tests.

    python tests/make_flair_fixtures.py

Each file is a tiny language model with random weights, written by Flair's own
`LanguageModel.save` and `save_checkpoint`; those of older versions by `torch.save` of the
layouts that these wrote. `states.json` has what Flair's model gives for a few texts: the
state after each character, and the perplexity.
"""

from __future__ import annotations

import json
from pathlib import Path

import flair
import torch
from flair.data import Dictionary
from flair.models import LanguageModel

FOLDER = Path(__file__).parent / "data" / "flair"
TEXTS = ["a cab\n", "Bad idea, Ede: ü?", "\n ab\tc abba 🙂 x"]
CASES = {
    "forward": {"is_forward_lm": True},
    "backward": {"is_forward_lm": False},
    "layers": {"is_forward_lm": True, "nlayers": 2, "document_delimiter": "\t"},
    "gru": {"is_forward_lm": True, "recurrent_type": "GRU"},
    "gru-backward": {"is_forward_lm": False, "recurrent_type": "gru", "nlayers": 2},
    "nout": {"is_forward_lm": True, "nout": 5},
    "gru-nout": {"is_forward_lm": False, "recurrent_type": "gru", "nout": 3},
}
OLDEST = ["state_dict", "dictionary", "is_forward_lm", "hidden_size", "nlayers"]
OLDEST += ["embedding_size", "nout", "dropout"]


def dictionary() -> Dictionary:
    made = Dictionary(add_unk=True)
    for character in "abcdeiABE \n\t,:?ü":
        made.add_item(character)
    return made


def model(**chosen) -> LanguageModel:
    sizes = {"hidden_size": 8, "nlayers": 1, "embedding_size": 4, **chosen}
    made = LanguageModel(dictionary(), **sizes)
    with torch.no_grad():  # Flair's own first weights are small: nothing would differ
        for weight in made.parameters():
            weight.normal_(0, 0.5)
    return made.eval()


def states(lm: LanguageModel, text: str) -> list[list[float]]:
    "After each character, in the order in which the model reads"
    ordered = text if lm.is_forward_lm else text[::-1]
    ids = torch.tensor([lm.dictionary.get_idx_for_item(x) for x in ordered])[:, None]
    with torch.no_grad():
        _, output, _ = lm.forward(ids, lm.init_hidden(1))
    return rounded(output[:, 0])


def rounded(values: torch.Tensor) -> list[list[float]]:
    return [[round(x, 8) for x in row] for row in values.tolist()]


def measured(lm: LanguageModel) -> dict:
    with torch.no_grad():
        found = {text: states(lm, text) for text in TEXTS}
        return {
            "states": found,
            "perplexity": {text: lm.calculate_perplexity(text) for text in TEXTS},
        }


def state_of(lm: LanguageModel, names: list[str]) -> dict:
    known = {"state_dict": lm.state_dict()}
    return {name: known.get(name, getattr(lm, name, None)) for name in names}


def trained(lm: LanguageModel, optimizer: torch.optim.Optimizer) -> None:
    "Some steps, so that the optimizer remembers something"
    for _ in range(2):
        ids = torch.tensor([[1], [2], [3], [1]])
        scores, _, _ = lm.forward(ids, lm.init_hidden(1))
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(scores[:-1, 0], ids[1:, 0]).backward()
        optimizer.step()


def main() -> None:
    torch.manual_seed(1)
    flair.device = torch.device("cpu")
    FOLDER.mkdir(parents=True, exist_ok=True)
    expected = {}
    for name, chosen in CASES.items():
        lm = model(**chosen)
        lm.save(FOLDER / f"{name}.pt")
        expected[name] = measured(lm)

    lm = model(is_forward_lm=True)
    optimizer = torch.optim.Adam(lm.parameters(), lr=0.01)
    trained(lm, optimizer)
    lm.eval().save_checkpoint(FOLDER / "checkpoint.pt", optimizer, 3, 2, 1.5)
    expected["checkpoint"] = measured(lm)

    lm = model(is_forward_lm=False)
    lm.dictionary.get_idx_for_items(["a"])  # leaves a defaultdict in the dictionary
    lm.save(FOLDER / "used.pt")
    expected["used"] = measured(lm)

    lm = model(is_forward_lm=True, has_decoder=False)
    lm.save(FOLDER / "no-decoder.pt")
    ids = torch.tensor([[1], [2], [3]])
    with torch.no_grad():
        output, _ = lm.forward(ids, lm.init_hidden(1), decode=False)
    expected["no-decoder"] = {
        "ids": ids[:, 0].tolist(),
        "output": output[:, 0].tolist(),
    }

    for name, names, options in (
        ("layout-oldest", OLDEST, {"_use_new_zipfile_serialization": False}),
        ("layout-delimiter", [*OLDEST, "document_delimiter"], {}),
        ("layout-recurrent", [*OLDEST, "document_delimiter", "recurrent_type"], {}),
    ):
        lm = model(is_forward_lm=True, document_delimiter="\n")
        del lm.dictionary.add_unk  # it came with 0.9, as the two below it
        del lm.dictionary.multi_label, lm.dictionary.span_labels
        torch.save(state_of(lm, names), FOLDER / f"{name}.pt", **options)
        lm.dictionary.add_unk = True
        expected[name] = measured(lm)

    lm = model(is_forward_lm=False, nlayers=2)
    optimizer = torch.optim.SGD(lm.parameters(), lr=0.1, momentum=0.9)
    trained(lm, optimizer)
    state = state_of(lm.eval(), [*OLDEST, "document_delimiter"])
    state |= {"optimizer_state_dict": optimizer.state_dict()}
    state |= {"epoch": 1, "split": 4, "loss": 2.25}
    old = {"_use_new_zipfile_serialization": False, "pickle_protocol": 2}
    torch.save(state, FOLDER / "layout-checkpoint.pt", **old)
    expected["layout-checkpoint"] = measured(lm)

    dictionary().save(FOLDER / "characters")
    items = dictionary().get_items()
    document = {"texts": TEXTS, "dictionary": items, "models": expected}
    text = json.dumps(document, ensure_ascii=False)
    (FOLDER / "states.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
