"""The command `python -m orchestrator.transfer`: __main__.py, and on_ray.py, its tasks on Ray."""
