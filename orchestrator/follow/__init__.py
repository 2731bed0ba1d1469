"""What is going on in a sweep, from the progress reports of its trials. Knows nothing of Ray.

progress.py    reports, added up        eta.py    how long it will still take
time_spent.py  where the time went      live.py   what the user sees
comparison.py  what is known so far of the two methods that are compared
"""
