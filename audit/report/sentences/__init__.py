"""All prose of the report: a code and its values become a sentence, in the language of the page."""
