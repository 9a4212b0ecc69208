"""The report: findings turned into pages that a person reads, questions and signs."""
