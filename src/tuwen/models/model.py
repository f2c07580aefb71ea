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

    def encode(self, arrays: Arrays) -> dict[str, Tensor]:
        """Each modality's vector f32 [batch, its width]."""
        return {name: encoder(**arrays[name]) for name, encoder in self.encoders.items()}

    def forward(self, arrays: Arrays, present: Present) -> Tensor:
        return self.task(self.fusion(self.encode(arrays), present))  # [batch, outputs]

    def for_loss(self, arrays: Arrays, present: Present) -> Tensor:
        """What :meth:`loss` judges; for most fusions the answers themselves."""
        return self.fusion.for_loss(self.encode(arrays), present, self.task)

    def loss(self, outputs: Tensor, targets: Tensor, present: Present) -> Tensor:
        """The mean loss of a batch from what :meth:`for_loss` gave."""
        return self.fusion.loss(outputs, targets, present, self.task)

    def pretrained_parameters(self) -> list[nn.Parameter]:
        """Parameters that are fine-tuned rather than learned from scratch."""
        encoders = [e for e in self.encoders.values() if isinstance(e, Encoder)]
        return [p for encoder in encoders for p in encoder.pretrained_parameters()]
