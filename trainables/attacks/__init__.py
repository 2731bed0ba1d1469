"""Attacks: TextAttack's recipes by name, their offline resources, and the engine that runs them.

A kind is a function from settings to the parts of an attack (recipes.py); a catalog file names one
of this table, or the user's own as `package.module:function`.
"""

KINDS = {
    "textfooler": "trainables.attacks.recipes:textfooler",
    "textbugger": "trainables.attacks.recipes:textbugger",
    "bert_attack": "trainables.attacks.recipes:bert_attack",
    "misspellings": "trainables.attacks.recipes:misspellings",
}
