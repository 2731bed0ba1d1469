"""Ray runs the plan.

options.py      the options about Ray
connect.py      start, join and leave Ray        ray_folder.py   where our own Ray keeps its files
cells.py        the cells of a plan as one Tune run
schedule.py     fit once, attack many: what is handed out next
order.py        what is brought forward for a first comparison
slots.py        room on a cluster                deaths.py       is a dead trial run again
living.py       the living nodes                 health.py       which get no more cells
rehearsal.py    what breaks, before it costs     imported.py     attack resources of a process
budget.py       starts nothing that would not end in time
lease.py        one sweep a store                nodes.py        do all nodes see the store
environment.py  what a sweep ran with            limits.py       CPUs and memory of this process
"""
