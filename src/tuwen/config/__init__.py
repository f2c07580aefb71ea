"""The strict YAML files: a Shop (where the data is), a Run (everything needed to repeat a training) and a Comparison.

Below ``workflow`` nobody sees these classes: floors take plain arguments. Component options (``use: NAME`` and what
stands beside it) are checked by :mod:`tuwen.registry` against the component's own signature; here only their place in
the file is kept, so that every error names file and line.
"""

from tuwen.config.comparison import Comparison
from tuwen.config.rank import PerUser, RandomShare, RankRun, Rolling
from tuwen.config.run import Evaluation, Export, ModalitySpec, Rows, Run, Stacking, Training, task_of
from tuwen.config.search import PhotoTask, SearchRun, SearchTask
from tuwen.config.shop import Media, ShapeLimits, Shop, SoundLimits, TableSource
from tuwen.config.strict import Component
from tuwen.config.yaml import Lines, load_yaml, measure, one_line, plain_value, put, written

__all__ = [
    "Comparison",
    "Component",
    "Evaluation",
    "Export",
    "Lines",
    "Media",
    "ModalitySpec",
    "PerUser",
    "PhotoTask",
    "RandomShare",
    "RankRun",
    "Rolling",
    "Rows",
    "Run",
    "SearchRun",
    "SearchTask",
    "ShapeLimits",
    "Shop",
    "SoundLimits",
    "Stacking",
    "TableSource",
    "Training",
    "load_yaml",
    "measure",
    "one_line",
    "plain_value",
    "put",
    "task_of",
    "written",
]
