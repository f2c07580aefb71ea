"""The only wiring: what Python, the command line and HTTP all call. Configuration ends here.

Names are loaded on first use, so that importing this package costs nothing.
"""

from importlib import import_module
from typing import Any

_PLACES = {
    "build": "tuwen.workflow.building",
    "collect": "tuwen.workflow.steps",
    "predict": "tuwen.workflow.steps",
    "load": "tuwen.workflow.steps",
    "check": "tuwen.workflow.checking",
    "without_effect": "tuwen.workflow.idle",
    "train": "tuwen.workflow.training",
    "fit": "tuwen.workflow.frames",
    "compose": "tuwen.workflow.composing",
    "write_composed": "tuwen.workflow.composing",
    "is_trained": "tuwen.workflow.training",
    "evaluate": "tuwen.workflow.evaluation",
    "run": "tuwen.workflow.whole",
    "compare": "tuwen.workflow.comparing",
    "compare_as_written": "tuwen.workflow.comparing",
    "is_comparison": "tuwen.workflow.kinds",
    "tune": "tuwen.workflow.tuning",
    "recommend": "tuwen.workflow.recommendations",
    "recommend_to_everybody": "tuwen.workflow.recommendations",
    "index": "tuwen.workflow.indexing",
    "update_index": "tuwen.workflow.updating",
    "search": "tuwen.workflow.asking",
    "open_search": "tuwen.workflow.asking",
    "promote": "tuwen.workflow.serving",
    "drop_report": "tuwen.workflow.serving",
    "roll_back": "tuwen.workflow.serving",
    "begin_experiment": "tuwen.workflow.serving",
    "end_experiment": "tuwen.workflow.serving",
    "backup": "tuwen.workflow.archiving",
    "restore": "tuwen.workflow.archiving",
    "experiment_result": "tuwen.workflow.serving",
    "judge_photos": "tuwen.workflow.photo_evaluation",
    "judge_search": "tuwen.workflow.search_evaluation",
}
__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"tuwen.workflow has no '{name}'")
    return getattr(import_module(_PLACES[name]), name)
