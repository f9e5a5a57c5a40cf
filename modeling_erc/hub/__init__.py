"""Hugging Face Hub: repository, model card, evaluation results, redaction of private values, cost of a run."""
