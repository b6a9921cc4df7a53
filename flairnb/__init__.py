"""Train sequence taggers and text classifiers."""

__version__ = "0.1.0"

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from flairnb.foundation import logger as logger
    from flairnb.foundation import set_seed as set_seed

    device: torch.device


def __getattr__(name: str) -> Any:
    "What needs torch is imported when somebody asks for it"
    if name == "device":  # set it to choose where new models live
        from flairnb.foundation import default_device

        return default_device()
    if name in ("logger", "set_seed"):
        from flairnb import foundation

        return getattr(foundation, name)
    raise AttributeError(f"module 'flairnb' has no attribute {name!r}")
