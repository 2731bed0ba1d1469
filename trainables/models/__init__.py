"""A model as files in a folder: is it one that can be fine-tuned, before torch is imported.

folder.py     what is in it               weights.py    its tensors' names and shapes
tokenizer.py  its tokenizer's files       families.py   BERT, RoBERTa, GPT-2
"""
