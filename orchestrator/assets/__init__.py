"""The command `python -m orchestrator.assets`.

__main__.py  list, fetch, verify, upload
needed.py    what a space needs           upload.py  a fetched folder to a URL
"""
