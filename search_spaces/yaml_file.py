"""Read one YAML file into one pydantic model, with errors that name the file and the line."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from search_spaces.errors import BadInput, nearest

Model = TypeVar("Model", bound=BaseModel)


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping a YAML file holds. Raises BadInput naming file and line where it holds none."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BadInput(f"{path}, line {line}: not valid YAML: {error.problem}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not a YAML text file: {_first_line(error)}") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from None
    if not isinstance(content, dict):
        raise BadInput(f"{path}, line 1: expected `name: value` lines at the top level")
    return content


def validate(model: type[Model], content: dict[str, Any], where: str) -> Model:
    """Check a mapping against a model. Raises BadInput naming the first field that is wrong."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise BadInput(f"{where}: {_explain(model, error)}") from None


def fields_at(model: type[BaseModel], path: tuple[str, ...]) -> list[str]:
    """Names of the fields of the (nested) model that the dotted path leads into."""
    for name in path:
        field = model.model_fields.get(name)
        if field is None or not _is_model(field.annotation):
            return []
        model = field.annotation  # type: ignore[assignment]
    return list(model.model_fields)


def _explain(model: type[BaseModel], error: ValidationError) -> str:
    first = error.errors()[0]
    path = tuple(str(part) for part in first["loc"])
    dotted = ".".join(path) or "the file"
    if first["type"] == "extra_forbidden":
        return f"unknown name {dotted}; {nearest(path[-1], fields_at(model, path[:-1]))}"
    if first["type"] == "missing":
        return f"{dotted} is missing"
    return f"{dotted}: {first['msg'].removeprefix('Value error, ')} (got {first['input']!r})"


def _is_model(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
