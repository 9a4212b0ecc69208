"""All prose of the report: a code and its values become a sentence, in the language of the page."""

from audit.report.bridge_sentences import english, failed

__all__ = ["english", "failed"]
