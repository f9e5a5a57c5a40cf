"""Labels as people write them: marks of unlabelled utterances, spellings of one class, label maps and strengths."""

import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from .builder import CorpusError, first_few

# A cell with one of these, in any case, is unlabelled unless the label map or the class names contain it.
UNLABELLED = frozenset(
    {
        *("", "-1", "-100", "xxx", "-", "?", "unlabelled", "unlabeled", "nolabel"),
        *("nan", "none", "null", "nil", "na", "n/a", "n.a.", "#n/a", "<na>"),
    }
)
# More classes than this are no emotions.
MOST_CLASSES = 40


def label_key(label: str) -> str:
    """Returns what the spellings of one class have in common.

    Case and spaces do not count, nor does the form of a whole number.

    Example:
        >>> label_key(" Happy "), label_key("1.0")
        ('happy', '1')
    """
    key = "".join(unicodedata.normalize("NFKC", label).split()).casefold()
    number = _number(key)
    return str(int(number)) if number is not None and number.is_integer() else key


class LabelReader:
    """Maps label cells to class names.

    Args:
        names: class names.
        label_map: class name for each label that is written in another way; None for a label that is read as
            unlabelled.

    Example:
        >>> read = LabelReader(["joy", "anger"], {"freude": "joy"})
        >>> read("JOY "), read("Freude"), read("n/a")
        ('joy', 'joy', None)
    """

    def __init__(self, names: Sequence[str], label_map: Mapping[str, str | None] | None = None) -> None:
        self.names = list(names)
        self.label_map = {label_key(label): name for label, name in (label_map or {}).items()}
        self.by_key = {label_key(name): name for name in reversed(self.names)}

    def __call__(self, label: str | None) -> str | None:
        """Returns the class of a label, None for one that is unlabelled.

        Raises:
            KeyError: if it is neither a class nor a mark of an unlabelled utterance.
        """
        label = self.label_map.get(label_key(label or ""), label) or ""
        key = label_key(label)
        if label in self.names:
            return label
        return None if key in UNLABELLED and key not in self.by_key else self.by_key[key]


def class_names(labels: Counter[str], label_map: Mapping[str, str | None] | None = None) -> list[str]:
    """Returns the classes of a corpus whose labels are written like these, sorted.

    The most frequent of several spellings is the name of the class, a number its shortest form.

    Args:
        labels: number of utterances of each label.
        label_map: as for `LabelReader`.

    Raises:
        CorpusError: if the labels are decimals, negative numbers or more than `MOST_CLASSES` classes.
    """
    mapped = {label_key(label): name for label, name in (label_map or {}).items()}
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    for label, count in labels.items():
        name = mapped.get(label_key(label), label) or ""
        if label_key(label) in mapped or label_key(name) not in UNLABELLED:
            spellings[label_key(name)][name] += count
    spellings.pop("", None)
    strengths = [key for key in spellings if (number := _number(key)) is not None and not _is_class(number)]
    if strengths or len(spellings) > MOST_CLASSES:
        kind = "decimals or negative numbers" if strengths else f"{len(spellings)} different values"
        raise CorpusError(f"{kind} ({first_few(strengths or sorted(spellings))}): a strength? name the label column")

    def name_of(key: str) -> str:
        if _number(key) is not None:
            return key
        return max(spellings[key], key=lambda name: (spellings[key][name], name == name.lower(), name))

    return sorted(map(name_of, spellings))


def label_notes(labels: Counter[str], read: LabelReader) -> list[str]:
    """Returns a line for each way in which the labels of a corpus are not the names of its classes.

    Args:
        labels: number of utterances of each label.
        read: reader of these labels; labels that it does not know are left out.
    """
    by_class: dict[str | None, list[str]] = defaultdict(list)
    for label, count in sorted(labels.items()):
        try:
            name = read(label)
        except KeyError:
            continue
        if label.strip() and label != name:
            by_class[name].append(f"{label} ({count})")
    marks = by_class.pop(None, [])
    notes = [f"{', '.join(marks)} are read as unlabelled; give labels if they are classes"] if marks else []
    merged = [f"{', '.join(spellings)} as {name}" for name, spellings in by_class.items()]
    return [*notes, f"labels are read as classes: {'; '.join(merged)}"] if merged else notes


def _number(text: str) -> float | None:
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _is_class(number: float) -> bool:
    return number.is_integer() and number >= 0
