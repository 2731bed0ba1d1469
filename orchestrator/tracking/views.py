"""Views of an experiment, offered on MLflow's page under "Views", so that no one need set them up.

MLflow keeps a view as a tag of the experiment, in a format of its own (seen in 3.17): the state of
its page as JSON, packed. An MLflow that does not know it ignores the tag. Two traits of that page
matter: it folds all runs under the sweep's run unless they are sorted by something of their own,
and it averages a group over the runs that it has loaded, a hundred at first. So a grouped view is
of one data set, and sorted by seed: complete grids are loaded first.
"""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

SHOWN = ["accuracy_under_attack", "clean_accuracy", "attack_success_rate", "avg_queries"]
AXES = ["head", "attack", "dataset", "model", "training", "seed"]
CHARTS = [*SHOWN, "avg_perturbed_words_pct", "test_accuracy", "attack_seconds", "fit_seconds"]
CURVES = ["curve/train_loss", "curve/validation_accuracy"]
CELLS = "cells"
GROUPS = ["head", "attack"]


def links(experiment_id: str, datasets: Sequence[str]) -> str:
    """Links to the views, in Markdown: MLflow shows the first line of a description."""
    page = f"#/experiments/{experiment_id}/runs?viewStateShareKey="
    chart = "&compareRunsMode=CHART"
    groups = [
        f"charts by {group}: "
        + ", ".join(f"[{name}]({page}{_key(group, name)}{chart})" for name in datasets)
        for group in GROUPS
    ]
    return " · ".join([f"[All cells]({page}{CELLS})", *groups])


def tags(axes: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The experiment's tags that make the views: all cells, and by head and by attack.

    Groups are folded, so that their averages stand below each other.
    """
    one_by_one = {
        "orderByKey": "metrics.`accuracy_under_attack`",
        "orderByAsc": False,
        "selectedColumns": [f"metrics.`{name}`" for name in SHOWN[:2]]
        + [f"params.`{name}`" for name in AXES],
    }
    views = _view(CELLS, "All cells", one_by_one)
    for group in GROUPS:
        keys = [{"mode": "param", "groupByData": group}]
        folded = {f"param.{group}.{name}": False for name in axes[group]}
        for name in axes["dataset"]:
            state = {
                "searchFilter": f'params.dataset = "{name}"',
                "groupBy": {"aggregateFunction": "average", "groupByKeys": keys},
                "groupsExpanded": folded,
            }
            views |= _view(_key(group, name), f"{name}, by {group}", state)
    return {"mlflow.experimentKind": "custom_model_development", **views}


def _key(group: str, dataset: str) -> str:
    return f"{dataset}-by-{group}"


def _view(key: str, name: str, state: dict[str, Any]) -> dict[str, str]:
    whole = {
        "searchFilter": "",
        "orderByKey": "params.`seed`",
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [f"metrics.`{name}`" for name in SHOWN],
        "columnOrder": [],
        "columnWidths": {},
        "runsHiddenMode": "SHOWALL",
        "compareRunCharts": _charts(),
        "compareRunSections": _sections(),
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": True,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        **state,
    }
    packed = base64.b64encode(zlib.compress(json.dumps(whole).encode())).decode()
    view = {"name": name, "createdAt": 0, "updatedAt": 0, "state": f"deflate;{packed}"}
    return {f"mlflow.sharedViewState.{key}": json.dumps(view)}


def _sections() -> list[dict[str, Any]]:
    shown = {"display": True, "isReordered": True, "deleted": False, "isGenerated": False}
    return [
        {"uuid": "attack", "name": "Under attack", **shown},
        {"uuid": "fit", "name": "Fine-tuning", **shown},
    ]


def _charts() -> list[dict[str, Any]]:
    bars = [{**_chart("BAR", name, "attack"), "metricKey": name} for name in CHARTS]
    lines = [
        {
            **_chart("LINE", name, "fit"),
            "metricKey": name,
            "lineSmoothness": 0,
            "xAxisScaleType": "linear",
            "scaleType": "linear",
            "range": {},
            "xAxisKey": "step",
            "selectedXAxisMetricKey": "",
            "yAxisKey": "metric",
            "yAxisExpressions": [],
            "ignoreOutliers": False,
            "useGlobalXaxisKey": True,
            "useGlobalLineSmoothing": True,
        }
        for name in CURVES
    ]
    return bars + lines


def _chart(kind: str, name: str, section: str) -> dict[str, Any]:
    return {
        "uuid": name,
        "type": kind,
        "runsCountToCompare": 100,
        "metricSectionId": section,
        "deleted": False,
        "isGenerated": False,
        "displayName": name,
    }
