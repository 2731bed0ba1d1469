"""The command `python -m orchestrator.sweep`.

__main__.py  parse, plan, run, show       driver.py    one sweep, from lease to report
dry_run.py   --dry-run in words           explain.py   --explain
costs.py     hours and money left          node_types.py machines and their prices
power.py     which gain a plan can tell
status.py    --status                     notify.py    --notify
summary.py   what the sweep's own run in MLflow shows
"""
