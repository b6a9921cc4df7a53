"""Pictures of runs and sentences."""
