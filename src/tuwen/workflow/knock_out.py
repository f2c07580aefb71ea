"""What can be taken away from a model by itself: the modalities of one kind that share a column are one input."""

from __future__ import annotations

from dataclasses import dataclass

from tuwen.config import Run
from tuwen.workflow.contents import kind_of, modalities_by_kind


@dataclass(frozen=True)
class Together:
    """Modalities that must go together, because each of them would still tell what the others told."""

    kind: str
    modalities: tuple[str, ...]

    def of(self, run: Run) -> list[str]:
        """Those of them that a run has."""
        known = run.modalities
        return [name for name in self.modalities if name in known and kind_of(known[name].use) == self.kind]


def inputs_of(*runs: Run) -> dict[str, Together]:
    """NAME → the modalities that go together: one input of the runs.

    Two views of the same title are one input, title and description two. An input of each kind is the least, because
    people ask what the picture is worth, and not what is known of the brand: a table and a text of one column are two.
    An input is called by its kind where the kind is one input, else by its modalities.

    Args:
        runs: of the cells of a comparison, or a single one. A modality of theirs that has the same name and kind is the
            same one, whichever columns it reads.
    """
    found: dict[str, Together] = {}
    kinds = dict.fromkeys(kind for run in runs for kind in modalities_by_kind(run))
    for kind in kinds:
        columns: dict[str, set[str]] = {}
        for run in runs:
            for name in modalities_by_kind(run).get(kind, []):
                columns.setdefault(name, set()).update(run.modalities[name].columns)
        groups = _linked(columns)
        for names in groups:
            said = kind if len(groups) == 1 else " + ".join(names)
            found[f"{kind} {said}" if said != kind and said in kinds else said] = Together(kind, tuple(names))
    return found


def _linked(columns: dict[str, set[str]]) -> list[list[str]]:
    """The names, those that share a column (or are linked by others that do) in one list."""
    groups: list[tuple[list[str], set[str]]] = []
    for name, own in columns.items():
        linked = [group for group in groups if group[1] & own]
        names = [one for group in linked for one in group[0]] + [name]
        groups = [group for group in groups if group not in linked]
        groups.append((names, own.union(*(group[1] for group in linked))))
    order = list(columns)
    return sorted((sorted(names, key=order.index) for names, _ in groups), key=lambda names: order.index(names[0]))
