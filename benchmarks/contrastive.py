"""`contrastive`: time and memory of the contrastive losses against a plain one with whole matrices."""

import time

import torch
from torch.nn.functional import normalize

from modeling_erc.losses_erc import CONTRASTIVE_LOSSES
from modeling_erc.modeling_erc import ErcForSequenceClassification  # noqa: F401 (its import registers the losses)

from .measure import free_mb, peak_mb
from .plain_supcon import plain_supcon
from .table import BENCHMARKS, Setting, Table

WIDTH, CLASSES, TEMPERATURE = 256, 7, 0.1
PLAIN = "plain supcon"
# Matrices of all against all that the plain loss has in memory at its worst, forward and backward.
PLAIN_MATRICES = 8


@BENCHMARKS.register("contrastive")
def contrastive(setting: Setting) -> list[Table]:
    """Each loss and size in a process of its own."""
    rows: list[list[object]] = []
    for anchors in (32, 64) if setting.quick else (256, 1024, 4096, 16384):
        found = {name: setting.alone(_step, name, anchors) for name in ("inter_class", "supcon")}
        needed = PLAIN_MATRICES * 4 * anchors**2 / 2**20
        fits = needed < 0.8 * free_mb()
        plain = setting.alone(_step, PLAIN, anchors) if fits else (None, None)
        for name, (took, memory) in {**found, PLAIN: plain}.items():
            compared = took / plain[0] if took is not None and plain[0] else None
            told = f"skipped: needs about {needed:,.0f}" if memory is None else memory
            rows.append([anchors, name, took, compared, told])
    columns = ["embeddings", "loss", "s, forward and backward", "x plain", "memory above inputs (MB)"]
    title = f"Contrastive losses, embeddings of width {WIDTH}, {CLASSES} classes, one thread, float32"
    return [Table(title, columns, rows)]


def _step(name: str, anchors: int) -> tuple[float, float]:
    """Seconds and MB of one step, after a small one."""
    torch.set_num_threads(1)
    torch.manual_seed(0)

    def step(n: int) -> tuple[float, float]:
        embeddings = normalize(torch.randn(n, WIDTH), dim=1).requires_grad_()
        prototypes = normalize(torch.randn(CLASSES, WIDTH), dim=1).requires_grad_()
        labels = torch.randint(CLASSES, (n,))
        before, started = peak_mb(), time.perf_counter()
        if name == PLAIN:
            loss = plain_supcon(embeddings, labels, TEMPERATURE)
        else:
            loss = CONTRASTIVE_LOSSES[name](embeddings, labels, prototypes, TEMPERATURE).mean()
        loss.backward()
        return time.perf_counter() - started, peak_mb() - before

    step(64)
    return step(anchors)
