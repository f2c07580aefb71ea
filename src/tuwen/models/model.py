"""y = g(σ(Σ φᵢ(xᵢ))): encoders, a fusion and a task, and nothing else."""

from __future__ import annotations

from torch import Tensor, nn

from tuwen.models.encoder import Encoder
from tuwen.models.fusion import Fusion
from tuwen.models.tasks import Task

Arrays = dict[str, dict[str, Tensor]]  # modality → array name → [batch, ...]
Present = dict[str, Tensor]  # modality → bool [batch]


class Model(nn.Module):
    """One network of the three parts; ``forward`` is the mission's formula."""

    def __init__(self, encoders: dict[str, Encoder], fusion: Fusion, task: Task) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(dict(sorted(encoders.items())))
        self.fusion = fusion
        self.task = task

    def forward(self, arrays: Arrays, present: Present) -> Tensor:
        vectors = {name: encoder(**arrays[name]) for name, encoder in self.encoders.items()}
        return self.task(self.fusion(vectors, present))  # [batch, outputs]

    def pretrained_parameters(self) -> list[nn.Parameter]:
        """Parameters that are fine-tuned rather than learned from scratch."""
        encoders = [e for e in self.encoders.values() if isinstance(e, Encoder)]
        return [p for encoder in encoders for p in encoder.pretrained_parameters()]
