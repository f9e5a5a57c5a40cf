"""Packaging: what `pip install .` installs. The tested versions are pinned in constraints.txt."""

from pathlib import Path

from setuptools import find_packages, setup

README = Path(__file__).with_name("README.md")

# The lower bounds are what the tests run with, or close below it.
REQUIRED = [
    "accelerate>=1.15",
    "av>=16",
    "datasets>=5.2",
    "evaluate>=0.4.6",
    "huggingface-hub>=2.4",
    "matplotlib>=3.10",
    "numpy>=2.2",
    "pillow>=11",
    "psutil>=7",
    "pyarrow>=21",
    "PyYAML>=6.0.2",
    "safetensors>=0.8",
    "scikit-learn>=1.7",
    "soundfile>=0.13",
    "soxr>=1.0",
    "torch>=2.13",
    "tqdm>=4.67",
    "transformers>=5.23,<6",
]
LORA = ["peft>=0.21"]
# OpenCV 5 has no face detector inside.
FACES = ["opencv-python-headless>=4.12,<5"]
EXPORT = ["onnx>=1.22", "onnxruntime>=1.31", "onnxscript>=0.7"]
HUB_DEMO = ["gradio>=6.31"]
# Subtitles and annotations in the formats of other programs.
TRANSCRIPTS = ["praatio>=6.2", "pylangacq>=0.23", "pympi-ling>=1.71", "pysubs2>=1.8"]
LOGGING = ["tensorboard>=2.20", "trackio>=0.43"]
# The browser that playwright drives is the system's own chromium; tests of the page skip where there is none.
CHECKS = ["mypy>=2", "playwright>=1.60", "pytest>=9", "pytest-xdist>=3.8", "ruff>=0.17", "types-PyYAML>=6.0.12"]
EXTRAS = {
    "export": EXPORT,
    "faces": FACES,
    "hub-demo": HUB_DEMO,
    "logging": LOGGING,
    "lora": LORA,
    "transcripts": TRANSCRIPTS,
    "test": [*EXPORT, *FACES, *HUB_DEMO, *LOGGING, *LORA, *TRANSCRIPTS, *CHECKS],
}

setup(
    name="modeling-erc",
    version="0.1.0",
    description="Multimodal emotion recognition in conversation with joint vectors and an inter-class contrastive loss",
    long_description=README.read_text(encoding="utf-8") if README.is_file() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    packages=find_packages(include=["modeling_erc", "modeling_erc.*", "datasets_scripts", "datasets_scripts.*"]),
    package_data={
        "modeling_erc": ["py.typed"],
        "modeling_erc.configs": ["*.yaml", "*/*.yaml"],
        "modeling_erc.hub": ["cards/*.md"],
    },
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
