"""From rows to findings: effects with intervals, false-discovery control, and a word per class."""
