"""Attacks: TextAttack's recipes by name, their offline resources, and the engine that runs them.

recipes.py     the attacks, by kind               engine.py      attack many examples at once
lockstep.py    what they ask, answered together   rules.py       checks of every success
resources.py   what attacks need, by named set    offline.py     the embedded ones
downloads.py   TextAttack's own, and their URLs   patches.py     what we change in TextAttack
encoder.py     the sentence encoder               similarity.py  similarity of two texts
fluency.py     perplexity of a text               quality.py     what is measured of a success
deadline.py    the time limit of an example       stopwatch.py   where the time goes
unread.py      text beyond what the model reads   goal.py        what an attack maximises
in_fits.py     training rows made by attacking    gradients.py   the head's gradient by word

A kind is a function from settings to the parts of an attack (recipes.py); a catalog file names one
of this table, or the user's own as `package.module:function`. How to add one: docs/architecture.md,
"Where to add something".
"""

KINDS = {
    "textfooler": "trainables.attacks.recipes:textfooler",
    "textbugger": "trainables.attacks.recipes:textbugger",
    "bert_attack": "trainables.attacks.recipes:bert_attack",
    "misspellings": "trainables.attacks.recipes:misspellings",
    "a2t": "trainables.attacks.recipes:a2t",
}
