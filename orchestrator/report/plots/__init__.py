"""The plots of a report, all together in all.py.

accuracy.py  attacks.py  forest.py  time.py
style.py   how they look            ground.py   what each is over
"""
