"""The command `python -m orchestrator.assets`.

__main__.py  list, fetch, verify
needed.py    what a space needs           manifest.py  assets.json, what a folder holds
"""
