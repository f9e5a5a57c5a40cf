"""A griffe extension for mkdocs: docstrings say `Example:`, as in transformers, and griffe expects `Examples:`."""

import re
from typing import Any

import griffe


class ExampleSections(griffe.Extension):
    """Lets griffe read an `Example:` section as code with its output."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Renames the section of one object."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"(?m)^( *)Example:$", r"\1Examples:", obj.docstring.value)
