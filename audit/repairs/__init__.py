"""From a finding to a better model: the last layer refitted on swaps, and what helps a retraining.

The swaps that find a shortcut are the balanced data that cures it: each object on the backgrounds
of the other classes. Features that a network learned beside the shortcut are often still there;
then another last layer is enough (Kirichenko et al. 2023, "Last layer re-training is sufficient
for robustness to spurious correlations"; Qiu et al. 2023, "Simple and fast group robustness by
automatic feature reweighting").
"""
