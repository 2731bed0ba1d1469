"""A model as files in a folder: checks, without torch, whether it can be fine-tuned.

folder.py     its config.json             weights.py    its tensors' names and shapes
tokenizer.py  its tokenizer's files       families.py   BERT, RoBERTa, GPT-2
"""
