"""What a fit or an attack takes where nothing like it was measured: a model of cost.

    seconds = operations of the transformer × tokens × steps, or queries / what a device does a
    second, and what each layer of each pass takes at least, however few its tokens are

It is within a factor of 2 of what was measured on an NVIDIA H200 (benchmarks/gpu/) and on CPUs
(benchmarks/RESULTS.md); for other devices it is a guess of the same kind. It orders the queue, and
says before a sweep what order of cost to expect. Knows nothing of plans, stores or prices.
"""

import re
from dataclasses import dataclass, replace

from orchestrator.plan.sizes import Network, Texts
from orchestrator.plan.training_cost import Course, course, passes
from search_spaces.cell import Cell, Fit, InnerAttack
from search_spaces.query_budget import queries_of

CPU = "cpu"
UNCERTAINTY = 2  # a factor, up and down

TOKENS_A_WORD = 1.35  # BERT's vocabulary on the five data sets (benchmarks/queries.py)
SPECIAL_TOKENS = 2
PADDED = 1.5  # tokens of a batch of texts of mixed length, where padding is computed too
BATCH = 4096  # tokens that are queried at once, at most; trainables/heads/buckets.py
STEP_PASSES = 3  # a step's operations: a pass forward, and two backward
STEP_LAYER = 3.5  # a step's least time: so many forward passes'
BYTES_A_WEIGHT = 28  # that an AdamW step reads and writes
BEST_AFTER_EPOCHS, BEST_AFTER_ROWS = 1.5, 300_000  # training ends `patience` evaluations later
STRENGTHS, ITERATIONS = 50, 80  # of a probe (trainables/probe.py), L-BFGS iterations of each
PROBE_OPERATIONS = 1e10  # a second and core, in float64
SHARE_OF_LAYER_ON_GPU = 0.2  # of a layer's least time; the rest is the host's, preparing it


@dataclass(frozen=True)
class Device:
    """What a device does.

    operations: of float32 products of many tokens, a second: about half of what its maker says.
    layer: seconds that one layer's forward pass takes at least. memory: bytes a second.
    On a CPU all are of one core. fixed_shapes: whether a batch that is not full is filled up.
    """

    operations: float
    layer: float
    memory: float
    fixed_shapes: bool = True


ON_A_GPU = 0.0009  # seconds a layer: 11 ms for 12 layers, measured on an H200
CORE = Device(1e11, 0.0001, 1.5e10, fixed_shapes=False)
GPUS = {
    "T4": Device(4e12, ON_A_GPU, 2.4e11),
    "V100": Device(10e12, ON_A_GPU, 7e11),
    "L4": Device(10e12, ON_A_GPU, 2.4e11),
    "A10G": Device(13e12, ON_A_GPU, 4.8e11),
    "A10": Device(13e12, ON_A_GPU, 4.8e11),
    "A100": Device(14e12, ON_A_GPU, 1.3e12),
    "L40S": Device(35e12, ON_A_GPU, 7e11),
    "H100": Device(35e12, ON_A_GPU, 2.6e12),
    "H200": Device(35e12, ON_A_GPU, 3.5e12),
}
TYPICAL_GPU = "A10G"  # of the shipped cluster.yaml
WITHOUT = ("T4", "V100")  # GPUs that have neither tf32 nor bf16
FASTER = {"fp32": 1.0, "tf32": 1.7, "bf16": 3.2}  # products on a TYPICAL_GPU; a guess
FASTEST = {"fp32": 1.0, "tf32": 4.5, "bf16": 8.75}  # on an H100 or H200; a guess


@dataclass(frozen=True)
class Queries:
    """Of an attack, by word of the text that it may change: texts queried, and CPU seconds of
    search and constraints. texts_a_call: how many of one example are queried at once."""

    texts_a_word: float
    texts_a_call: float
    seconds_a_word: float


# Printed by benchmarks/queries.py.
QUERIES = {
    "textfooler": Queries(4.6, 12.7, 0.0080),
    "textbugger": Queries(1.6, 4.6, 0.0029),
    "bert_attack": Queries(3.1, 6.9, 0.0070),
    "misspellings": Queries(20.7, 29.9, 0.0016),
    "a2t": Queries(0.75, 3.6, 0.0036),
}
TYPICAL_ATTACK = QUERIES["textfooler"]
TEXTATTACK_SLOWER = 1.2  # its sentence encoder and tagger, against the embedded ones


@dataclass(frozen=True)
class Search:
    """An attack on rows of a fit's data set, of so many words, by what it holds.

    name: in the catalog. words: of a row; attacked: of its attacked column.
    """

    name: str
    kind: str
    resources: str
    query_budget: int | str | None
    cpus: int
    dtype: str
    words: float
    attacked: float


def search_of(cell: Cell, texts: Texts) -> Search:
    """A cell's attack."""
    return Search(
        cell.attack, cell.attack_kind, cell.attack_resources, cell.query_budget,
        cell.resources.attack.cpus, cell.attack_dtype, texts.test_words, texts.attacked_words,
    )  # fmt: skip


def search_within(fit: Fit, inner: InnerAttack, texts: Texts) -> Search:
    """The attack by which a fit's training makes rows."""
    attacked = texts.attacked_words * texts.train_words / max(texts.test_words, 1)
    return Search(
        inner.name, inner.kind, inner.resources, inner.query_budget,
        threads(fit), fit.settings.dtype, texts.train_words, attacked,
    )  # fmt: skip


def fit_seconds(fit: Fit, network: Network, texts: Texts, device: str) -> float:
    """Of a fit, alone on a device (torch's name of it, or `cpu`)."""
    training = training_seconds(fit, network, texts, device)
    return training + attacking_seconds(fit, network, texts, device)


def attacking_seconds(fit: Fit, network: Network, texts: Texts, device: str) -> float:
    """Of a fit, in which its training attacks rows."""
    if fit.attack is None:
        return 0.0
    search, attacked = search_within(fit, fit.attack, texts), _course(fit, texts).attacked
    return attacked * _example(fit, search, network, device, fit.attack.at_once)[0]


def _rows(fit: Fit, texts: Texts) -> int:
    """That it is trained on, before any are added."""
    rows = min(fit.settings.train_examples or texts.train, texts.train)
    return max(round(rows * fit.training_entry.train_share), 1)


def _course(fit: Fit, texts: Texts) -> Course:
    rows, settings = _rows(fit, texts), fit.settings
    best_after = min(BEST_AFTER_EPOCHS * rows, BEST_AFTER_ROWS)
    return course(fit, rows, best_after + settings.patience * settings.evaluate_every)


def training_seconds(fit: Fit, network: Network, texts: Texts, device: str) -> float:
    """Of a fit, without the attacks of its training."""
    settings = fit.settings
    on = _device(device, threads(fit), settings.dtype)
    rows, seen = _rows(fit, texts), _course(fit, texts).seen
    evaluations = max(seen // settings.evaluate_every, 1)
    causal = fit.language_model.kind == "causal"
    length = tokens_of(fit, texts.train_words)
    padded = PADDED if causal and not settings.group_by_length else 1.0
    steps = seen / settings.batch_size
    seconds = steps * _step(fit, network, settings.batch_size, length * padded, on)
    validation = min(settings.validation_examples or texts.validation, texts.validation)
    queried = evaluations * validation + texts.test
    if fit.head_entry.probe_first:
        rows = min(settings.probe_examples or rows, rows)
        queried += rows + validation
        classes = len(fit.data.labels) if len(fit.data.labels) > 2 else 1
        iteration = 4 * rows * network.width * classes / PROBE_OPERATIONS
        seconds += STRENGTHS * ITERATIONS * iteration / min(threads(fit), 2.8)
    return seconds + queried * _query(fit, network, queried, length, on)[0]


def step_seconds(fit: Fit, network: Network, count: int, length: float, device: str) -> float:
    """Of one step of training on `count` texts of `length` tokens each."""
    return _step(fit, network, count, length, _device(device, threads(fit), fit.settings.dtype))


def query_seconds(fit: Fit, network: Network, at_once: float, length: float, device: str) -> float:
    """Of one text of `length` tokens, queried with others at once."""
    return _query(fit, network, at_once, length, _device(device, threads(fit)))[0]


def example_seconds(cell: Cell, network: Network, texts: Texts, device: str) -> float:
    """Of one attacked example, on the share of a device that the cell's attack holds."""
    at_once, search = min(cell.at_once, cell.examples), search_of(cell, texts)
    alone, busy = _example(cell.fit, search, network, device, at_once)
    gpus = cell.resources.attack.gpus
    if device == CPU or not 0 < gpus < 1:
        return alone
    return max(alone, busy / gpus)  # its neighbours on the GPU want it too


def lone_example_seconds(fit: Fit, search: Search, network: Network, device: str) -> float:
    """Of an example that is attacked without others and alone on a device, as in a rehearsal."""
    return _example(fit, search, network, device, 1)[0]


def example_queries(search: Search) -> float:
    """How many texts are queried to attack one example, within its query budget."""
    expected = _queries(search).texts_a_word * search.attacked
    if search.query_budget is None:
        return expected
    return min(expected, queries_of(search.query_budget, round(search.words)))


def threads(fit: Fit) -> int:
    """CPUs of a fit, which its key depends on."""
    return int(fit.identity.get("threads", 1))


def tokens_of(fit: Fit, words: float) -> float:
    """Of a text of so many words, as the model reads it."""
    return min(words * TOKENS_A_WORD + SPECIAL_TOKENS, fit.settings.max_length)


def templates_of(fit: Fit) -> tuple[int, float]:
    """How many a text is read with, and their tokens."""
    if fit.prompts is None or fit.head_entry.kind == "cls_prompt":  # label words alone
        return 1, 0.0
    templates = fit.prompts.templates
    return len(templates), sum(len(text.split()) for text in templates) * TOKENS_A_WORD


def _queries(search: Search) -> Queries:
    return QUERIES.get(search.kind, TYPICAL_ATTACK)


def _tokens_trained(fit: Fit, length: float) -> float:
    """Of a text in a step of training, by all its templates or one of them."""
    count, tokens = templates_of(fit)
    one = fit.head_entry.templates_in_training == "one"
    return length + tokens / count if one else _tokens_read(fit, length)


def _tokens_read(fit: Fit, length: float) -> float:
    """Of a text with all its templates; a causal model reads the text once for all of them."""
    count, tokens = templates_of(fit)
    return (1 if fit.language_model.kind == "causal" else count) * length + tokens


def _step(fit: Fit, network: Network, count: int, length: float, on: Device) -> float:
    operations = network.operations(count * _tokens_trained(fit, length), length)
    seconds = STEP_LAYER * network.layers * on.layer + STEP_PASSES * operations / on.operations
    seconds *= passes(fit.training_entry, network, count)
    return seconds + network.weights * BYTES_A_WEIGHT / on.memory


def _example(
    fit: Fit, search: Search, network: Network, device: str, at_once: int
) -> tuple[float, float]:
    """Seconds of an example, attacked with others at once; and those that a GPU is busy."""
    queries, queried = _queries(search), example_queries(search)
    on = _device(device, search.cpus, search.dtype)
    length = tokens_of(fit, search.words)
    query, busy = _query(fit, network, queries.texts_a_call * at_once, length, on)
    slower = TEXTATTACK_SLOWER if search.resources == "textattack" else 1.0
    other = queries.seconds_a_word * queried / queries.texts_a_word * slower
    return queried * query + other, queried * busy


def _query(
    fit: Fit, network: Network, at_once: float, length: float, on: Device
) -> tuple[float, float]:
    """Seconds a text that is queried, with others at once; and those that a GPU is busy.

    A batch holds all templates of its texts. On a GPU it is computed whole, however few they are.
    """
    tokens = _tokens_read(fit, length)
    room = max(BATCH / tokens, 1)
    at_once = min(at_once, room)
    least = network.layers * on.layer / at_once
    products = network.operations(tokens, length) / on.operations
    if on.fixed_shapes:
        products *= room / at_once
    return least + products, SHARE_OF_LAYER_ON_GPU * least + products


def _device(name: str, cores: int, dtype: str = "fp32") -> Device:
    if name == CPU:
        operations, memory = CORE.operations * cores**0.8, CORE.memory * cores**0.5
        return replace(CORE, operations=operations, memory=memory)
    kind = gpu_kind(name) or TYPICAL_GPU
    faster = 1.0 if kind in WITHOUT else (FASTEST if kind in ("H100", "H200") else FASTER)[dtype]
    return replace(GPUS[kind], operations=GPUS[kind].operations * faster)


def is_known(device: str) -> bool:
    """Whether the model knows a device; another is taken for a TYPICAL_GPU."""
    return device == CPU or gpu_kind(device) is not None


def gpu_kind(name: str) -> str | None:
    """The one of GPUS that has a name as torch gives it, such as `NVIDIA H100 80GB HBM3`."""
    return next((word for word in re.split(r"[\s-]+", name) if word in GPUS), None)
