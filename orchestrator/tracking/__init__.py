"""MLflow shows the results. The only package that talks to MLflow.

where.py     which server or database           check.py      does it answer
options.py   --tracking-uri, and messages about it
client.py    MLflow's client                    causes.py     its errors in one line
database.py  its database as a file             ui.py         its pages, served
tracker.py   write runs, each once              upload.py     in a thread of its own
runs.py      what a run holds                   read.py       read a space back
notes.py     descriptions on its pages          views.py      views it offers

For another tracker see docs/architecture.md, "Where to add something".
"""
