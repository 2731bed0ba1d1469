"""The command `python -m orchestrator.cluster`.

__main__.py  check, prepare
file.py      what is wrong with a file for `ray up`       aws.py   what AWS must have
"""
