"""Saliency Audit: which classes of an image classifier are right for the wrong reason.

The datum's path: a **manifest** names the audit. **Readers** make samples; **batches** carry
image and foreground through the same geometry. A **method** turns images into maps; **scoring**
turns maps into rows; **interventions** change foreground or background and turn the model's
answers into rows beside them; **cues** are what in the background a class leans on; **verdicts**
turn rows into one finding per class, with its uncertainty; **CMVs** show what the class score
itself wants; the **report** turns findings into pages. Nothing in this package knows that Prefect
exists: the flows only open the doors.
"""

__version__ = "0.1.0"
