"""What a bundle keeps of the rows that it learned from."""

from __future__ import annotations

import numpy as np

from tuwen.bundle.train_part import TrainPart, train_part
from tuwen.config import Run
from tuwen.data.examples import joined_text
from tuwen.training.inputs import Input
from tuwen.workflow.gathering import Gathered


def kept_train_part(run: Run, gathered: Gathered, inputs: dict[str, Input]) -> TrainPart:
    """The languages of the texts of the train part, and how many of its rows have each input."""
    rows = gathered.rows("train")
    frame = gathered.frame[rows]
    texts = {name: joined_text(frame, spec.columns) for name, spec in run.modalities.items() if spec.use == "text"}
    return train_part(len(rows), texts, {name: int(np.sum(source.there(rows))) for name, source in inputs.items()})
