"""The losses of a learner: the answer's words, its coordinates, its attention, and what its visual tokens show."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional as F

BELL_STD = 12.0
"""Standard deviation of the target around a coordinate, in thousandths of the image."""
CENTRE_BINS = 32
"""Number of bins for the middle of an object along each side of the image."""
CENTRE_STD = 0.7
"""Standard deviation of the target around the middle, in bins."""
MASS_FLOOR = 1e-4
"""Added to attention before taking the logarithm."""


class CellHeads(nn.Module):
    """Predicts from each visual token what its cell shows. Linear, so that the language model can read it as easily.

    The heads exist only in training and are not part of a checkpoint.

    Args:
        width: Size of a visual token.
        values: The indices of the values of each attribute.
    """

    def __init__(self, width: int, values: Mapping[str, Mapping[str, int]]) -> None:
        super().__init__()
        sizes = {**{name: len(known) for name, known in values.items()}, "u": CENTRE_BINS, "v": CENTRE_BINS}
        self.heads = nn.ModuleDict({name: nn.Linear(width, size) for name, size in sizes.items()})
        self.nothing = {name: known.get("", -1) for name, known in values.items()}

    def loss(self, tokens: torch.Tensor, truth: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Returns the sum of the attributes' cross entropies for tokens (B, cells, width) and ``Batch.cells``.

        Most cells show nothing, and most objects have no mark. So that the few that do are not drowned, the mean over
        the cells that show something, and over those that do not, count alike.
        """
        losses = [tokens.new_zeros(())]
        for name, head in self.heads.items():
            known = truth[name] >= 0
            target = truth[name][known]
            right = _bell(target) if name in ("u", "v") else target
            each = F.cross_entropy(head(tokens[known]), right, reduction="none")
            empty = target == self.nothing.get(name, -1)
            losses += [0.5 * each[part].mean() for part in (empty, ~empty) if part.any()]
        return torch.stack(losses).sum()


def _bell(x: torch.Tensor) -> torch.Tensor:
    """Maps positions (n,) in [0, 1] to distributions (n, CENTRE_BINS) that make a near miss cheap."""
    centres = (torch.arange(CENTRE_BINS, device=x.device) + 0.5) / CENTRE_BINS
    weight = torch.exp(-0.5 * ((x[:, None] - centres) * CENTRE_BINS / CENTRE_STD) ** 2)
    return weight / weight.sum(-1, keepdim=True)


def coordinate_loss(told: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Returns (n,) the divergence of log probabilities (n, numbers) from bells around the right numbers (n,)."""
    distance = torch.arange(told.shape[1], device=told.device)[None] - truth[:, None]
    bell = torch.exp(-0.5 * (distance / BELL_STD) ** 2)
    bell = bell / bell.sum(-1, keepdim=True)
    return (torch.xlogy(bell, bell) - bell * told).sum(-1)


def attention_loss(attention: torch.Tensor, links: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Returns the loss, and the mean attention that falls where it should.

    Args:
        attention: (B, heads, L, L).
        links: (B, L, L) bool; rows without any are not supervised.
    """
    which, at = links.any(-1).nonzero(as_tuple=True)
    if not len(which):
        return attention.new_zeros((), dtype=torch.float32), 1.0
    mass = (attention[which, :, at].float() * links[which, at][:, None]).sum(-1)
    return -(mass + MASS_FLOOR).log().mean(), float(mass.detach().mean())
