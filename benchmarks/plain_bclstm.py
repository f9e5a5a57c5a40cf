"""A plain baseline for `features_in`: an LSTM over padded dialogues, as in most public implementations."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from datasets_scripts import FEATURE_COLUMNS, DialogueRows

from .contrastive import plain_supcon
from .measure import Speed, fastest, peak_mb, resident_mb


class PlainBcLstm(nn.Module):
    """bc-LSTM (Poria et al. 2017): one bidirectional LSTM per modality, another over all of them, and a classifier.

    Args:
        widths: width of the features of each modality.
        classes: number of emotions.
        hidden: width of the hidden state in each direction.
    """

    def __init__(self, widths: Mapping[str, int], classes: int, hidden: int = 64) -> None:
        super().__init__()
        self.own = nn.ModuleDict(
            {m: nn.LSTM(width, hidden, batch_first=True, bidirectional=True) for m, width in widths.items()}
        )
        self.all = nn.LSTM(2 * hidden * len(widths), hidden, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(0.5)
        self.classifier = nn.Linear(2 * hidden, classes)

    def forward(self, features: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Returns logits `(batch, utterances, classes)` and unit-norm embeddings `(batch, utterances, 2 * hidden)`.

        Args:
            features: padded `(batch, utterances, width)` of each modality.
        """
        per_modality = torch.cat([lstm(features[m])[0] for m, lstm in self.own.items()], dim=-1)
        states = self.all(self.dropout(per_modality))[0]
        return self.classifier(self.dropout(states)), nn.functional.normalize(states, dim=-1)


def plain_speed(rows: DialogueRows, widths: Mapping[str, int], classes: int, batch: int, epochs: int) -> Speed:
    """Measures training and inference of the baseline; every batch is padded to its longest dialogue."""
    torch.set_num_threads(1)
    before = resident_mb()
    model = PlainBcLstm(widths, classes)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def padded(rows: list[dict[str, Any]]) -> tuple[dict[str, Tensor], Tensor]:
        def pad(column: str, value: float = 0) -> Tensor:
            values = [torch.tensor(np.array([turn[column] for turn in row["utterances"]])) for row in rows]
            return nn.utils.rnn.pad_sequence(values, True, value)

        return {m: pad(FEATURE_COLUMNS[m]) for m in widths}, pad("label", -1)

    batches: DataLoader[Any] = DataLoader(rows, batch, collate_fn=padded)  # type: ignore[arg-type]

    def train() -> None:
        model.train()
        for features, labels in batches:
            logits, embeddings = model(features)
            scored = labels >= 0
            contrast = plain_supcon(embeddings[scored], labels[scored], 0.1)
            loss = nn.functional.cross_entropy(logits[scored], labels[scored]) + 0.1 * contrast
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    @torch.inference_mode()
    def infer() -> None:
        model.eval()
        for features, _ in batches:
            model(features)

    parameters = sum(p.numel() for p in model.parameters())
    return Speed(parameters, fastest(train, epochs), fastest(infer, epochs), peak_mb() - before)
