"""Layers: recurrent networks, dropout, the CRF."""

from flairnb.nn.crf import CRF as CRF
from flairnb.nn.layers import LengthAwareRNN as LengthAwareRNN
from flairnb.nn.layers import LockedDropout as LockedDropout
from flairnb.nn.layers import WordDropout as WordDropout
