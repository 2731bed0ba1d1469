"""The plots of a report, all together in all.py.

accuracy.py  attacks.py  defences.py  forest.py  time.py  sample_efficiency.py
equal_clean.py   heads at equal clean accuracy
style.py         how they look     ground.py   what each is over
"""
