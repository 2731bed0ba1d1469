"""The comparison of a sweep, as text, tables, plots and one HTML page, from a store or MLflow.

results.py       what a report is made of            from_store.py, from_mlflow.py   read it
statistics.py    intervals, paired tests, decisions     power.py        what they could have told
comparison.py    heads × attacks                     claim.py        the paper's claim
gain.py          one method over others              defences.py     gains and cost of defences
rounds.py        rows that trainings added
worst_case.py    all attacks together                   slices.py       by length and label
scores.py        is it the scale of the scores
forest.py        where a gain comes from, stable ranks
ablations.py     what each part is worth             quality.py      examples, time and cost
transfer.py      examples replayed on other fits     baseline.py     another sweep, compared
registry.py      published figures (claims/*.yaml)     reported.py     shown beside ours
sheet.py         texts for people to label           annotations.py  what they say
provenance.py    every cell, settings, what is not run
devices.py       where it was made, warnings
tables.py        Markdown, LaTeX, CSV                contents.py     all of it, in order
folder.py        the files in a folder               __main__.py     the command
plots/           the plots                           page/           the HTML page
"""

import logging
import os

# Plots are drawn into files. Another back end, from a notebook or a user's own settings, must
# neither be used for them nor be mentioned in the output.
os.environ["MPLBACKEND"] = "agg"
logging.getLogger("matplotlib").setLevel(logging.ERROR)
