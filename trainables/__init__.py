"""What one trial does, on one machine: fine-tune a model, then attack it.

cell.py       one cell, start to end              trial.py     the same as a Ray Tune trial
fit.py        fine-tuning                         probe.py     linear probing before it
batches.py    the order of a fit's rows           rounds.py    rows made on the way
random_states.py  of all generators
optimizer.py  AdamW, and its state                schedule.py  the learning rate of each step
snapshot.py   a fit in mid-training, as bytes     memory.py    when a GPU's is too small
deterministic.py  algorithms on a GPU             dtype.py     what products are computed in
heads/        text in, class scores out           training/    the losses
attacks/      TextAttack's recipes and engine     precision.py when an attack may stop early
transfer.py   adversarial examples on other fits  metrics.py   names and meanings of metrics
calibration.py  are its scores well scaled
data.py       splits and samples                  rows.py      the rows of a split
chinese.py    is there Chinese text              assets.py    files of data sets and models
models/       a model as files in a folder        kinds.py     the code behind a name
records.py    what is sent and stored, as types   store.py     every path and format of the store
files.py      bytes at a path or URL              scratch.py   temporary folders
process.py    which process                       ran_on.py    on which device
device.py     GPU or CPU, and a GPU that is lost  speed/       the same results sooner
mirror.py     assets at a URL, copied once        manifest.py  what was fetched, by digest
node.py       what this machine lacks             rehearsal.py all that a sweep needs, tried
embedded/     data, models, vectors; no code

torch, transformers and TextAttack live here. MLflow does not, and Ray only in trial.py, so that a
trial can be run and debugged without either: `python -m trainables.cell CELL.json --store FOLDER`.
"""
