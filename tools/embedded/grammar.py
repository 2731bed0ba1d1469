"""A small sentence grammar: rules and word lists as plain text, expanded at random from a seed.

A grammar is a text file in ``grammars/``: a series of sections, each with a header line. What comes
before the first header is a comment.

``[name]``   a rule: every line below is one alternative, ``@3`` at its end gives it weight 3;
             an indented line goes on with the one above.
``<name>``   a list of cue words (comma separated): words that bear the label. About a quarter of
             them is held out, that is: they never occur in the training split.
``(name)``   a list of neutral words (comma separated), nothing is held out.

Within an alternative:

``{name}``     expand the symbol; ``name.<context>``, ``name.<number>`` are tried before ``name``.
``{!name}``    the same with the context flipped (positive to negative, one topic to another one).
``{name#}``    agree with the grammatical number drawn for this alternative (``s`` or ``p``).
``{name:s}``   force a number; for verbs also ``:b`` the base form, ``:d`` the past.
``{A=name}``   expand once per text and reuse the result wherever ``A=`` is seen again.
``is#``        a literal verb that agrees with the number drawn.

Lists whose name starts with ``v_`` hold verbs in the third person singular ("drags on"); their
first word is inflected as asked for.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

GRAMMARS = Path(__file__).parent / "grammars"
HELD_OUT_ONE_IN = 4
MAX_REDRAWS = 12
FREQUENT_FIRST = 1.6  # above 1: cue words early in a list are drawn more often than late ones

_SLOT = re.compile(r"\{(!?)(?:([A-Z])=)?([A-Za-z_0-9]+)(#|:[spbd])?\}|\b([a-z']+)#")
_WORD = re.compile(r"[a-z]+(?:-[a-z]+)*")
_THEIR = re.compile(r"\b(?:its|itself)\b")
_WEIGHT = re.compile(r"\s@(\d+)$")
_AN = re.compile(r"\b([Aa]) (?=([\w-]+))")
_AN_NOT = re.compile(r"(?:one|once|uni(?!n)|use|usu|eu|uk)", re.IGNORECASE)
_AN_TOO = re.compile(r"(?:hour|hono|honest|heir|8|11|18)", re.IGNORECASE)

_STOP = """
a about above after again against all along also although among an and another any are as at
back be because been before being both but by can could did do does down during each either
even ever every few first for four from get had has have he her here him his how i if in into
is it its just last least less like made make many may might more most much must near nearly
neither never new next no nor not now of off on once one only or other our out over own rather
right s said same say says second set she should since so some soon still such than that the
their them then there these they third this those three through to too two under until up us
very was way we well were what when where which while who why will with within without would
year yet you your
"""
STOP_WORDS = frozenset(_STOP.split())


def grammar_text(dataset: str) -> str:
    """The grammar that the rows of an embedded data set are written by."""
    return (GRAMMARS / f"{dataset}.txt").read_text(encoding="utf-8")


def words(text: str) -> list[str]:
    """The lower-cased words of a text, punctuation and numbers left out."""
    return _WORD.findall(text.lower())


def content_words(text: str) -> list[str]:
    """The words of a text that are not function words."""
    return [word for word in words(text) if len(word) > 2 and word not in STOP_WORDS]


def stem(word: str) -> str:
    """A crude stem, so that a held-out noun or verb is held out in both of its numbers."""
    for ending, put in (("ies", "y"), ("sses", "ss"), ("ches", "ch"), ("shes", "sh")):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return word[: -len(ending)] + put
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


_PLURAL = {"is": "are", "has": "have", "does": "do", "was": "were", "'s": "'re", "goes": "go"}
_IRREGULAR = """
beats:beat wins:won loses:lost holds:held takes:took makes:made gives:gave sees:saw falls:fell
rises:rose leaves:left meets:met says:said goes:went is:was has:had buys:bought sells:sold
builds:built finds:found cuts:cut sets:set puts:put hits:hit begins:began sinks:sank
shrinks:shrank grows:grew keeps:kept sends:sent spends:spent leads:led tells:told breaks:broke
throws:threw drives:drove runs:ran wears:wore shuts:shut sweeps:swept strikes:struck
seeks:sought fights:fought overcomes:overcame withdraws:withdrew outruns:outran upsets:upset
stuns:stunned drops:dropped plans:planned slips:slipped trims:trimmed tops:topped
scraps:scrapped jumps:jumped stops:stopped bans:banned admits:admitted swaps:swapped
snaps:snapped edges:edged climbs:climbed steps:stepped pays:paid slides:slid dips:dipped
fixes:fixed patches:patched crushes:crushed pushes:pushed unveils:unveiled lays:laid
spots:spotted maps:mapped stays:stayed plays:played delays:delayed brings:brought hurts:hurt
bets:bet splits:split denies:denied carries:carried quits:quit swims:swam outplays:outplayed
permits:permitted omits:omitted ships:shipped cancels:canceled rebuilds:rebuilt scans:scanned
nets:netted reads:read rewrites:rewrote controls:controlled traps:trapped speeds:sped
teaches:taught catches:caught backs:backed
"""
_PAST = dict(pair.split(":") for pair in _IRREGULAR.split())


def base_form(verb: str) -> str:
    """'drags' to 'drag', 'touches' to 'touch', 'carries' to 'carry', 'is' to 'are'."""
    if verb in _PLURAL:
        return _PLURAL[verb]
    if verb.endswith("ies"):
        return verb[:-3] + "y"
    if verb.endswith(("sses", "shes", "ches", "xes", "zzes")):
        return verb[:-2]
    return verb[:-1] if verb.endswith("s") else verb


def past_tense(verb: str) -> str:
    """'drags' to 'dragged' by table, else by adding 'ed'."""
    if verb in _PAST:
        return _PAST[verb]
    base = base_form(verb)
    if base.endswith("e"):
        return base + "d"
    if base.endswith("y") and base[-2] not in "aeiou":
        return base[:-1] + "ied"
    return base + "ed"


def inflect(phrase: str, number: str) -> str:
    """Inflect the first word of a verb phrase given in the third person singular."""
    head, _, rest = phrase.partition(" ")
    if number == "d":
        head = past_tense(head)
    elif number != "s":
        head = base_form(head)
    if number == "p":
        rest = _THEIR.sub(lambda match: "their" if match.group() == "its" else "themselves", rest)
    return f"{head} {rest}".strip()


def fix_articles(text: str) -> str:
    """Write 'a' or 'an' as the next word asks for."""

    def article(match: re.Match[str]) -> str:
        following = match.group(2)
        vowel = following[0] in "aeiouAEIOU" and not _AN_NOT.match(following)
        return match.group(1) + ("n " if vowel or _AN_TOO.match(following) else " ")

    return _AN.sub(article, re.sub(r"\b([Aa])n (?=[\w-])", r"\1 ", text))


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


@dataclass
class Grammar:
    """Rules, word lists and the division of the cue words into shared and held-out ones."""

    text: str
    flip: Callable[[str, random.Random], str]
    finish: Callable[[str], str] = str.strip
    rules: dict[str, list[tuple[str, int]]] = field(init=False, default_factory=dict)
    cues: dict[str, list[str]] = field(init=False, default_factory=dict)
    neutral: dict[str, list[str]] = field(init=False, default_factory=dict)
    held_stems: frozenset[str] = field(init=False, default=frozenset())

    def __post_init__(self) -> None:
        self._parse()
        fixed = [text for options in self.rules.values() for text, _ in options]
        fixed = [re.sub(r"\{[^}]*\}", " ", text) for text in fixed]
        fixed += [entry for entries in self.neutral.values() for entry in entries]
        self.held_stems = self._choose_held(fixed)

    def _parse(self) -> None:
        for block in re.split(r"^(?=[\[<(][a-zA-Z_0-9.]+[\])>]$)", self.text, flags=re.M):
            header, _, body = block.strip().partition("\n")
            if not header or header[0] not in "[<(":
                continue
            name = header[1:-1]
            if name in self.rules or name in self.cues or name in self.neutral:
                raise ValueError(f"the section {name} is there twice")
            if header[0] == "[":
                lines = re.sub(r"\n +", " ", body).splitlines()
                self.rules[name] = [self._weighted(line) for line in lines if line]
            else:
                entries = [" ".join(entry.split()) for entry in body.split(",")]
                unique = list(dict.fromkeys(entry for entry in entries if entry))
                (self.cues if header[0] == "<" else self.neutral)[name] = unique or [""]

    @staticmethod
    def _weighted(line: str) -> tuple[str, int]:
        match = _WEIGHT.search(line)
        return (line[: match.start()], int(match.group(1))) if match else (line, 1)

    def _choose_held(self, fixed: Iterable[str]) -> frozenset[str]:
        """A quarter of the cue words by digest; words that the fixed text uses stay shared."""
        taken = {stem(word) for text in fixed for word in words(text)}
        stems = {stem(w) for entries in self.cues.values() for e in entries for w in cue_words(e)}
        return frozenset(
            s for s in stems if s not in taken and _digest("held " + s) % HELD_OUT_ONE_IN == 0
        )

    def is_held(self, text: str) -> bool:
        """Whether a text has a word that the training split must not show."""
        return any(stem(word) in self.held_stems for word in words(text))

    def cue_vocabulary(self) -> set[str]:
        """The stems of all cue words, shared and held out."""
        return {stem(w) for entries in self.cues.values() for e in entries for w in cue_words(e)}

    def find(self, name: str, context: str, number: str) -> str:
        """The most specific section there is for a symbol."""
        for key in (f"{name}.{context}.{number}", f"{name}.{context}", f"{name}.{number}", name):
            if key in self.rules or key in self.cues or key in self.neutral:
                return key
        raise KeyError(f"no section for {name} ({context}, {number})")


def cue_words(entry: str) -> list[str]:
    """The words of a list entry that bear its meaning."""
    return [word for word in words(entry) if len(word) > 3 and word not in STOP_WORDS]


@dataclass
class Writer:
    """Expands one text after another; ``held_share`` is how often a held-out cue is preferred."""

    grammar: Grammar
    rng: random.Random
    held_share: float = 0.0

    def write(self, symbol: str, context: str) -> str:
        """One text for a symbol in a context (a polarity, a topic)."""
        self._used: set[str] = set()
        self._bound: dict[str, str] = {}
        self._flipped: dict[str, str] = {}
        text = self._expand(symbol, context, "s")
        return fix_articles(self.grammar.finish(" ".join(text.split())))

    def _choose(self, options: Sequence[tuple[str, int]]) -> str:
        mark = self.rng.random() * sum(weight for _, weight in options)
        for text, weight in options:
            mark -= weight
            if mark < 0:
                return text
        return options[-1][0]

    def _draw(self, entries: Sequence[str], cue: bool) -> str:
        pool: Sequence[str] = entries
        if cue:
            held = [entry for entry in entries if self.grammar.is_held(entry)]
            shared = [entry for entry in entries if not self.grammar.is_held(entry)]
            prefer_held = self.rng.random() < self.held_share
            pool = held if prefer_held and held else shared or held
        entry = pool[0]
        power = FREQUENT_FIRST if cue else 1.0
        for _ in range(MAX_REDRAWS):
            entry = pool[int(self.rng.random() ** power * len(pool))]
            if entry not in self._used:
                break
        self._used.add(entry)
        return entry

    def _expand(self, name: str, context: str, number: str) -> str:
        key = self.grammar.find(name, context, number)
        if key in self.grammar.rules:
            text = self._choose(self.grammar.rules[key])
        else:
            cue = key in self.grammar.cues
            text = self._draw((self.grammar.cues if cue else self.grammar.neutral)[key], cue)
            if name.startswith("v_"):
                text = inflect(text, number)
        # An alternative draws its own number, unless it was asked to agree with its parent's.
        return _SLOT.sub(lambda match: self._slot(match, context, number), text)

    def _slot(self, match: re.Match[str], context: str, number: str) -> str:
        flip, bind, name, mark, literal = match.groups()
        if literal:
            return inflect(literal, number)
        wanted = number if mark == "#" else mark[1:] if mark else self._fresh_number(name)
        if bind:
            verb = name.startswith("v_")
            if bind not in self._bound:
                self._bound[bind] = self._expand(name, context, "s" if verb else wanted)
            return inflect(self._bound[bind], wanted) if verb else self._bound[bind]
        inner = self._flip(context) if flip else context
        return self._expand(name, inner, wanted)

    def _flip(self, context: str) -> str:
        """The other context, the same one all through a text."""
        if context not in self._flipped:
            self._flipped[context] = self.grammar.flip(context, self.rng)
        return self._flipped[context]

    def _fresh_number(self, name: str) -> str:
        if name.startswith("v_"):
            return "s"
        return "p" if self.rng.random() < 0.35 else "s"


def unique_texts(
    write: Callable[[], str], count: int, seen: set[str], accept: Callable[[str], bool]
) -> list[str]:
    """``count`` accepted texts that ``seen`` does not have yet; adds them to ``seen``."""
    texts: list[str] = []
    for _ in range(count * 400):
        if len(texts) == count:
            return texts
        text = write()
        if text.lower() not in seen and accept(text):
            seen.add(text.lower())
            texts.append(text)
    raise RuntimeError(f"only {len(texts)} of {count} texts: the grammar is too narrow")
