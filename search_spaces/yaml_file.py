"""Read YAML as people write it, with errors that name the file, the line and the setting.

Plain values mean what YAML 1.2's core schema says: only true and false are booleans (yes, no, on
and off are words), 010 is ten, 1e-4 is a number, and dates and 12:30:45 are strings. What nobody
can mean is refused: a key twice, nan and infinity, tags of other types, values that contain
themselves or grow huge by aliases.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from search_spaces.errors import BadInput, nearest

Model = TypeVar("Model", bound=BaseModel)
Place = tuple[str | int, ...]  # of a value: names, and numbers of list items

MOST_VALUES = 100_000  # in one file, with aliases expanded
LONGEST_SHOWN = 80  # characters of a wrong value
OTHER_TRUTHS = {"yes", "no", "on", "off"}  # booleans in YAML 1.1

_TAG = "tag:yaml.org,2002:"
_PLAIN = {
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "merge": (r"<<", "<"),
}


class Written(BaseModel):
    """Base of everything read from YAML: an unknown name is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool):
            kinds = set(_leaves(cls.model_fields[str(info.field_name)].annotation))
            if kinds & {int, float} and bool not in kinds:
                raise ValueError(f"expected a number, not the boolean {str(value).lower()}")
        return value


@dataclass
class Document:
    """A mapping that was read from YAML, and the line of each of its values.

    given: values from options of the command line, which replace the file's.
    """

    source: str
    content: dict[str, Any]
    root: MappingNode
    given: dict[Place, tuple[str, Node | None]] = field(default_factory=dict)

    def put(self, path: tuple[str, ...], value: Any, option: str, node: Node | None = None) -> None:
        """Put a value at a path. The file's other values stay, shared ones too."""
        content = self.content
        for name in path[:-1]:
            inner = content.get(name)
            if inner is not None and not isinstance(inner, dict):
                raise BadInput(f"{option}: {name} is not a mapping in {self.source}")
            content[name] = dict(inner or {})
            content = content[name]
        content[path[-1]] = value
        self.given[path] = (option, node)

    def validated(self, model: type[Model], at: tuple[str, ...] = ()) -> Model:
        """The content, or the mapping at a path, as a model; empty where the path ends early.

        Raises BadInput that names the first wrong value.
        """
        content = self.content
        for name in at:
            content = content.get(name) or {}
        try:
            return model.model_validate(content)
        except ValidationError as error:
            # A misspelt name explains a missing one.
            wrong = sorted(error.errors(), key=lambda each: each["type"] != "extra_forbidden")[0]
            path = tuple(part for part in wrong["loc"] if part != "[key]")
            problem = _explain(model, wrong, path, self._node((*at, *path)))
            raise self.error((*at, *path), problem) from None

    def error(self, path: Place, problem: str) -> BadInput:
        """The error that a value is wrong: its line, and what is wrong."""
        problem = f"{dotted(path) or 'the file'}{problem}"
        for length in range(len(path), 0, -1):
            if path[:length] in self.given:
                return BadInput(f"{self.given[path[:length]][0]}: {problem}")
        return BadInput(f"{self.source}, line {_line(self.root, path)}: {problem}")

    def words_for_truths(self, *names: str) -> Iterator[Place]:
        """Plain yes, no, on and off below these names: words here, booleans in YAML 1.1."""
        for name in names:
            node = _child(self.root, name)
            yield from () if node is None else _words_for_truths(node, (name,))

    def _node(self, path: Place) -> Node | None:
        for length in range(len(path), 0, -1):
            if path[:length] in self.given:
                node = self.given[path[:length]][1]
                return None if node is None else _find(node, path[length:])
        return _find(self.root, path)


def read(path: Path) -> Document:
    """A file that holds a mapping. Raises BadInput with file and line if it does not."""
    node, content = _load(_text(path), lambda line: f"{path}, line {line}", _CoreLoader)
    if not isinstance(content, dict) or not isinstance(node, MappingNode):
        raise BadInput(f"{path}, line 1: expected `name: value` lines at the top level")
    return Document(str(path), content, node)


def read_value(text: str, option: str) -> tuple[Any, Node | None]:
    """One value of the command line, by the same rules. Raises BadInput naming the option."""
    node, value = _load(text, lambda line: option, _CoreLoader)
    return value, node


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping in a file for a program that reads YAML 1.1, as PyYAML and Ray do."""
    _, content = _load(_text(path), lambda line: f"{path}, line {line}", _Loader)
    if not isinstance(content, dict):
        raise BadInput(f"{path}, line 1: expected `name: value` lines at the top level")
    return content


def dump(content: dict[str, Any]) -> str:
    """As YAML that means the same in versions 1.1 and 1.2."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def dotted(path: Place) -> str:
    return ".".join(str(part) for part in path)


def annotation_at(model: Any, path: Place) -> Any:
    """The type of the value at a path, or None where the model has no such name."""
    for name in path:
        model = next((t for o in _options(model) if (t := _inner(o, name)) is not None), None)
    return model


def fields_at(model: type[BaseModel], path: Place) -> list[str]:
    """Names of the fields of the (nested) model that the path leads to."""
    options = _options(annotation_at(model, path))
    return [name for option in options if _is_model(option) for name in option.model_fields]


class _Refused(yaml.MarkedYAMLError):
    """Valid YAML that nobody can mean."""

    def __init__(self, node: Node, problem: str) -> None:
        super().__init__(problem=problem, problem_mark=node.start_mark)


class _Loader(yaml.SafeLoader):
    """PyYAML's loader, which checks the whole document before it constructs anything."""

    texts_as_keys = False

    def checked(self) -> Node | None:
        node = self.get_single_node()
        if node is not None:
            self._check(node, {}, set())
        return node

    def _check(self, node: Node, sizes: dict[int, int], above: set[int]) -> int:
        """The number of values with aliases expanded."""
        if id(node) in above:
            raise _Refused(node, "a value that contains itself")
        if id(node) not in sizes:
            inner: list[Node] = []
            if isinstance(node, MappingNode):
                self._check_keys(node)
                inner = [value for _, value in node.value]
            elif isinstance(node, SequenceNode):
                inner = node.value
            above.add(id(node))
            sizes[id(node)] = 1 + sum(self._check(each, sizes, above) for each in inner)
            above.remove(id(node))
            if sizes[id(node)] > MOST_VALUES:
                raise _Refused(node, f"more than {MOST_VALUES:,} values with aliases expanded")
        return sizes[id(node)]

    def _check_keys(self, node: MappingNode) -> None:
        lines: dict[Any, int] = {}
        for key, _ in node.value:
            if not isinstance(key, ScalarNode):
                raise _Refused(key, "a list or mapping cannot be a name")
            name = key.value if key.tag == f"{_TAG}merge" else self.construct_object(key)
            if self.texts_as_keys and not isinstance(name, str):
                kind, shown = _kind(name), key.value or "null"
                raise _Refused(key, f'the name {shown} is read as {kind}; quote it: "{shown}"')
            line = key.start_mark.line + 1
            if name in lines:
                where = f"lines {lines[name]} and {line}"
                raise _Refused(key, f"{name} appears twice ({where}); keep one of them")
            lines[name] = line


class _CoreLoader(_Loader):
    """Plain values by YAML 1.2's core schema, and no other types."""

    texts_as_keys = True

    def number(self, node: ScalarNode) -> int | float:
        text = self.construct_scalar(node)
        try:
            if node.tag == f"{_TAG}int":
                base = {"0o": 8, "0x": 16}.get(text[:2], 10)
                return int(text, base)
            number = float(re.sub(r"\.(?=inf|nan)", "", text.lower()))
        except ValueError:
            raise _Refused(node, f"{_cut(text)} cannot be read as a number") from None
        if not math.isfinite(number):
            raise _Refused(node, f"{text} is not a finite number")
        return number

    def truth(self, node: ScalarNode) -> bool:
        text = self.construct_scalar(node)
        if text.lower() not in ("true", "false"):
            raise _Refused(node, f"{_cut(text)} cannot be read as true or false")
        return text.lower() == "true"


class _Dumper(yaml.SafeDumper):
    """Quotes what either version of YAML would not read as a string."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_CoreLoader.yaml_implicit_resolvers = {}
_CoreLoader.yaml_constructors = {}
for _name, (_pattern, _first) in _PLAIN.items():
    for _yaml in (_CoreLoader, _Dumper):
        _yaml.add_implicit_resolver(_TAG + _name, re.compile(rf"^(?:{_pattern})$"), list(_first))
for _type, _construct in {
    "bool": _CoreLoader.truth,
    "int": _CoreLoader.number,
    "float": _CoreLoader.number,
    "null": _CoreLoader.construct_yaml_null,
    "str": _CoreLoader.construct_yaml_str,
    "merge": _CoreLoader.construct_yaml_str,
    "seq": _CoreLoader.construct_yaml_seq,
    "map": _CoreLoader.construct_yaml_map,
    None: _CoreLoader.construct_undefined,
}.items():
    _CoreLoader.add_constructor(_type and _TAG + _type, _construct)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not a YAML text file: {_first_line(error)}") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from None


def _load(text: str, where: Callable[[int], str], kind: type[_Loader]) -> tuple[Node | None, Any]:
    """A document's nodes and its content. where: names a line of the text."""
    try:
        loader = kind(text)
        node = loader.checked()
        return node, None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problem = f"{error.problem}"
        if problem == "but found another document":
            problem = "a second document begins here; a file has one"
        elif not isinstance(error, _Refused):
            problem = f"not valid YAML: {problem}"
        raise BadInput(f"{where(line)}: {problem}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise BadInput(f"{where(line)}: not a YAML text: {_first_line(error)}") from None
    except RecursionError:
        raise BadInput(f"{where(1)}: not valid YAML: too many levels") from None


def _explain(model: type[BaseModel], error: ErrorDetails, path: Place, node: Node | None) -> str:
    """What is wrong with a value, to follow its path."""
    kind, value = error["type"], error["input"]
    raw = node.value if isinstance(node, ScalarNode) else "" if value is None else str(value)
    got = "" if isinstance(value, dict) else f" (got {_cut(repr(value))})"
    if kind == "value_error":
        return f": {error['msg'].removeprefix('Value error, ')}"
    if kind == "extra_forbidden":
        return f": unknown name; {nearest(str(path[-1]), fields_at(model, path[:-1]))}"
    if kind == "missing":
        return " is missing"
    if (value is None and not raw) or value == []:
        return " is empty; give a value, or leave the name out"
    if kind == "string_type" and isinstance(value, (bool, int, float, NoneType)):
        return (
            f': {_cut(raw)} is read as {_kind(value)}; quote it to make it a string: "{_cut(raw)}"'
        )
    if kind.startswith("string_pattern"):
        return (
            ": a name has letters, digits, . _ and -, begins with a letter or digit, and is at "
            f"most 41 long{got}"
        )
    if kind == "list_type" and isinstance(value, str):
        return f": expected a list, as [{_cut(value)}]{got}"
    expected = {
        "string_type": "a string",
        "int_": "a whole number",
        "float_": "a number",
        "finite_number": "a number that is neither infinite nor nan",
        "bool_": "true or false",
        "list_type": "a list, as [a, b]",
        "dict_type": "a mapping, `name: value`",
        "model_": "a mapping, `name: value`",
    }
    for beginning, what in expected.items():
        if kind.startswith(beginning):
            return f": expected {what}{got}"
    return f": {error['msg']}{got}"


def _line(root: Node, path: Place) -> int:
    """The line of the last existing value on a path; in a mapping, the line of its name."""
    line = root.start_mark.line + 1
    node: Node | None = root
    for name in path:
        if isinstance(node, MappingNode):
            keys = [key for key, _ in node.value if key.value == name]
            line = keys[-1].start_mark.line + 1 if keys else line
        node = None if node is None else _child(node, name)
        if node is None:
            break
        if isinstance(name, int):
            line = node.start_mark.line + 1
    return line


def _find(node: Node | None, path: Place) -> Node | None:
    """The node at a path; a single name counts as a list of one."""
    for name in path:
        lone = isinstance(node, ScalarNode) and name == 0
        node = node if node is None or lone else _child(node, name)
    return node


def _child(node: Node, name: str | int) -> Node | None:
    if isinstance(node, MappingNode):  # Merged values come first, and its own after them.
        return next((value for key, value in reversed(node.value) if key.value == name), None)
    if isinstance(node, SequenceNode) and isinstance(name, int) and name < len(node.value):
        return node.value[name]
    return None


def _words_for_truths(node: Node, path: Place) -> Iterator[Place]:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield from _words_for_truths(value, (*path, key.value))
    elif isinstance(node, SequenceNode):
        for number, value in enumerate(node.value):
            yield from _words_for_truths(value, (*path, number))
    elif isinstance(node, ScalarNode) and node.style is None and node.value.lower() in OTHER_TRUTHS:
        yield path


def _options(annotation: Any) -> list[Any]:
    """The types of a union, without what else an annotation says of them."""
    if hasattr(annotation, "__metadata__"):
        return _options(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [each for option in get_args(annotation) for each in _options(option)]
    return [annotation]


def _inner(annotation: Any, name: str | int) -> Any:
    if _is_model(annotation) and name in annotation.model_fields:
        return annotation.model_fields[name].annotation
    if get_origin(annotation) is (list if isinstance(name, int) else dict):
        return get_args(annotation)[-1]
    return None


def _leaves(annotation: Any) -> Iterator[Any]:
    for option in _options(annotation):
        yield option
        if get_origin(option) in (list, dict):
            yield from _leaves(get_args(option)[-1])


def _is_model(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "a boolean"
    return "no value" if value is None else "a number"


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
