"""What one trial does, on one machine: fine-tune a model, then attack it.

torch, transformers and TextAttack live here. MLflow does not, and Ray only in trial.py, so that a
trial can be run and debugged without either: `python -m trainables.cell CELL.json --store FOLDER`.
"""
