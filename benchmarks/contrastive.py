"""`contrastive`: time and memory of the contrastive losses, compared with a plain one on whole matrices."""

import time

import psutil
import torch
from torch import Tensor
from torch.nn.functional import normalize

from modeling_erc.losses_erc import CONTRASTIVE_LOSSES
from modeling_erc.modeling_erc import ErcForSequenceClassification  # noqa: F401 (its import registers the losses)

from .measure import peak_mb
from .table import BENCHMARKS, Setting, Table

WIDTH, CLASSES, TEMPERATURE = 256, 7, 0.1
PLAIN = "plain supcon"
# Number of anchors x anchors matrices that the plain loss holds at its peak, in forward and backward pass.
PLAIN_MATRICES = 8


@BENCHMARKS.register("contrastive")
def contrastive(setting: Setting) -> list[Table]:
    """Measures each loss and size in a process of its own."""
    rows: list[list[object]] = []
    for anchors in (32, 64) if setting.quick else (256, 1024, 4096, 16384):
        results = {name: setting.run(_step, name, anchors) for name in ("inter_class", "supcon")}
        needed = PLAIN_MATRICES * 4 * anchors**2 / 2**20
        fits = needed < 0.8 * psutil.virtual_memory().available / 2**20
        plain = setting.run(_step, PLAIN, anchors) if fits else (None, None)
        for name, (took, memory) in {**results, PLAIN: plain}.items():
            ratio = took / plain[0] if took is not None and plain[0] else None
            rows.append(
                [anchors, name, took, ratio, f"skipped: needs about {needed:,.0f}" if memory is None else memory]
            )
    columns = ["embeddings", "loss", "s, forward and backward", "x plain", "memory above inputs (MB)"]
    title = f"Contrastive losses, embeddings of width {WIDTH}, {CLASSES} classes, one thread, float32"
    return [Table(title, columns, rows)]


def plain_supcon(embeddings: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss (Khosla et al. 2020, eq. 2) as most public code computes it, on whole matrices.

    Args:
        embeddings: `(n, width)`, unit norm.
        labels: `(n,)`.
        temperature: tau.
    """
    similarity = embeddings @ embeddings.T / temperature
    similarity = similarity - similarity.max(dim=1, keepdim=True).values.detach()
    others = 1 - torch.eye(len(labels), device=labels.device)
    positives = (labels[:, None] == labels[None, :]).float() * others
    log_probability = similarity - torch.log((similarity.exp() * others).sum(dim=1, keepdim=True) + 1e-12)
    return -((positives * log_probability).sum(dim=1) / positives.sum(dim=1).clamp(min=1)).mean()


def _step(name: str, anchors: int) -> tuple[float, float]:
    """Returns seconds and MB of one step, after a small warm-up step."""
    torch.set_num_threads(1)
    torch.manual_seed(0)

    def step(n: int) -> tuple[float, float]:
        embeddings = normalize(torch.randn(n, WIDTH), dim=1).requires_grad_()
        prototypes = normalize(torch.randn(CLASSES, WIDTH), dim=1).requires_grad_()
        labels = torch.randint(CLASSES, (n,))
        memory, start = peak_mb(), time.perf_counter()
        if name == PLAIN:
            loss = plain_supcon(embeddings, labels, TEMPERATURE)
        else:
            loss = CONTRASTIVE_LOSSES[name](embeddings, labels, prototypes, TEMPERATURE).mean()
        loss.backward()
        return time.perf_counter() - start, peak_mb() - memory

    step(64)
    return step(anchors)
