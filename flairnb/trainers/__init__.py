"""Training a model on a corpus."""

from flairnb.trainers.trainer import ModelTrainer as ModelTrainer
from flairnb.trainers.schedules import EarlyStopping as EarlyStopping
