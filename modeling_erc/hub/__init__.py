"""What goes to the Hub: repository, model card, redaction of private values, cost of a run."""
