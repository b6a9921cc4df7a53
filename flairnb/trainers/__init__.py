"""Training a model on a corpus."""

from flairnb.trainers.trainer import ModelTrainer as ModelTrainer
