"""Train sequence taggers and text classifiers."""

__version__ = "0.1.0"

from typing import TYPE_CHECKING, Any

from flairnb.foundation import PAINTERS
from flairnb.foundation import logger as logger
from flairnb.foundation import set_seed as set_seed

if TYPE_CHECKING:
    import torch

    device: torch.device


def __getattr__(name: str) -> Any:
    if name == "device":  # set it to choose where new models live
        from flairnb.foundation import default_device

        return default_device()
    raise AttributeError(f"module 'flairnb' has no attribute {name!r}")


def _picture_of(thing: Any) -> str | None:
    "What a notebook shows, drawn by a later page that is imported only then"
    from flairnb.rendering import picture_of

    return picture_of(thing)


PAINTERS.append(_picture_of)
