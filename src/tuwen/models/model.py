"""y = g(σ(Σ φᵢ(xᵢ))): encoders, a fusion and a task, and nothing else."""

from __future__ import annotations

from torch import Tensor, nn

from tuwen.models.encoder import Encoder
from tuwen.models.fusion import Fusion
from tuwen.models.generator import Generator
from tuwen.models.tasks import Task

Arrays = dict[str, dict[str, Tensor]]  # modality → array name → [batch, ...]
Present = dict[str, Tensor]  # modality → bool [batch]


class Model(nn.Module):
    """One network of the three parts; ``forward`` is the mission's formula.

    A generator, where there is one, stands between encoders and fusion and may fill what is absent.
    """

    def __init__(
        self, encoders: dict[str, Encoder], fusion: Fusion, task: Task, generator: Generator | None = None
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(dict(sorted(encoders.items())))
        self.fusion = fusion
        self.task = task
        self.generator = generator

    def encode(self, arrays: Arrays) -> dict[str, Tensor]:
        """Each modality's vector f32 [batch, its width]."""
        return {name: encoder(**arrays[name]) for name, encoder in self.encoders.items()}

    def forward(self, arrays: Arrays, present: Present) -> Tensor:
        return self.task(self.fusion(*self.completed(self.encode(arrays), present)))  # [batch, outputs]

    def for_loss(self, arrays: Arrays, present: Present) -> Tensor:
        """What :meth:`loss` judges; for most fusions the answers themselves."""
        return self.fusion.for_loss(*self.completed(self.encode(arrays), present), self.task)

    def loss(self, outputs: Tensor, targets: Tensor, present: Present) -> Tensor:
        """The mean loss of a batch from what :meth:`for_loss` gave."""
        return self.fusion.loss(outputs, targets, self.counted(present), self.task)

    def completed(self, vectors: dict[str, Tensor], present: Present) -> tuple[dict[str, Tensor], Present]:
        """What the fusion is given: the vectors, with what is absent filled where a generator does that."""
        return (vectors, present) if self.generator is None else self.generator.complete(vectors, present)

    def counted(self, present: Present) -> Present:
        """Which of the vectors that the fusion is given count."""
        return present if self.generator is None else self.generator.counted(present)

    def pretrained_layers(self) -> list[list[nn.Parameter]]:
        """Parameters that are trained on rather than learned from scratch, by layer: the encoders' top ones first."""
        towers = [e.pretrained_layers() for e in self.encoders.values() if isinstance(e, Encoder)]
        depth = max(map(len, towers), default=0)
        return [[p for tower in towers if i < len(tower) for p in tower[i]] for i in range(depth)]

    def brought_parameters(self) -> list[nn.Parameter]:
        """Those among them that ``init`` brought and that no wheel or hub did: small networks, learned as quickly as
        what is new.
        """
        encoders = [e for e in self.encoders.values() if isinstance(e, Encoder) and e.brought]
        own = {id(p) for encoder in encoders for p in encoder.pretrained_parameters()}
        return [p for encoder in encoders for p in encoder.parameters() if id(p) not in own]
