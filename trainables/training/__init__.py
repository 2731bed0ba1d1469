"""Kinds of training: the losses whose gradients a step of fine-tuning follows, one file per kind.

base.py         what every kind is                perturbation.py      δ of input embeddings
standard.py     cross entropy                     adversarial.py       at a perturbation
freelb.py       along a path of perturbations     infobert.py          the same, and information
ada.py          adversarial examples as rows      amda.py              the same, and mixup
information.py  bounds on mutual information      mixup.py             of hidden states
high_temperature.py  of logits made small

A kind is a class (base.py) or a function `(head, batch, labels, settings) -> loss`; a catalog file
names one of this table, or the user's own as `package.module:name`. How to add one:
docs/architecture.md, "Where to add something".
"""

KINDS = {
    "standard": "trainables.training.standard:standard_loss",
    "adversarial": "trainables.training.adversarial:adversarial_loss",
    "freelb": "trainables.training.freelb:FreeLB",
    "infobert": "trainables.training.infobert:InfoBERT",
    "ada": "trainables.training.ada:Ada",
    "amda": "trainables.training.amda:Amda",
    "high_temperature": "trainables.training.high_temperature:high_temperature_loss",
}
