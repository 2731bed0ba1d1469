"""Kinds of training: the loss whose gradient a step of fine-tuning follows, one file per kind.

standard.py   cross-entropy     adversarial.py   the same on perturbed embeddings

Each is a function `(head, batch, labels, settings) -> loss`; a catalog file names one of this
table, or the user's own as `package.module:function`. How to add one: docs/architecture.md, "Where
to add something".
"""

KINDS = {
    "standard": "trainables.training.standard:standard_loss",
    "adversarial": "trainables.training.adversarial:adversarial_loss",
}
