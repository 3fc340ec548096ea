"""The text of `--help`: the program's docstring, followed by its flags in groups, one or two lines each."""

from __future__ import annotations

import sys
import textwrap

from absl import flags

# Every flag of every program is in one group, so that a new flag is put where a reader looks for it.
GROUPS: dict[str, tuple[str, ...]] = {
    "What to run": ("suite", "dataset", "datasets", "method", "methods", "bits", "seed", "seeds", "validation", "whole_database"),
    "Where the data is": (
        "data_dir", "lists_dir", "images_root", "images", "features", "skip_bad_images", "skip_unpaired", "unlabelled",
    ),
    "How the split is drawn": (
        "split", "split_seed", "queries", "train_rows", "nus_pool", "coco_db", "imagenet_classes", "cifar10_train",
        "classes", "long_tail",
    ),
    "Backbone": (
        "backbone", "backbone_weights", "backbone_scaling", "image_size", "train_backbone", "train_backbone_from",
        "import_module", "mirrored",
    ),
    "Settings of the method": (
        "preset", "preset_dataset", "phases", "rounds", "labnet_epochs", "imgnet_epochs", "optimizer", "learning_rate",
        "set", "chosen", "run_flag", "unrecorded",
    ),
    "Input and output": (
        "workdir", "runs", "index", "model", "query", "code", "codes", "labels", "add", "text", "search", "out", "format",
        "verify", "allow_mixed", "checkout", "engine", "hnsw", "top", "radius", "label",
    ),
    "How it is served": (
        "host", "port", "allowed_host", "max_megabytes", "max_megapixels", "time_limit", "encodes",
    ),
    "How it runs": (
        "strategy", "replicas", "worker_timeout", "worker_silence", "jobs", "deterministic", "jit_compile", "bfloat16", "tf32",
        "checkpoint_steps", "evaluate_rounds", "label_report_epochs", "shard_rows", "chunk", "runner", "progress",
    ),
}  # fmt: skip
OTHER = "Other"
_WIDTH = 120
_COLUMN = 32  # where the words begin
_KINDS = {
    "int": "INTEGER", "float": "NUMBER", "path": "PATH", "string": "TEXT", "string enum": "TEXT",
    "comma separated list of strings": "LIST",
}  # fmt: skip
_REPEAT = ";\n    repeat this option to specify a list of values"
_OURS = ("experiments.", "figures.", "benchmarks.")


def help_text(takes: str = "") -> str:
    """The program's docstring and its flags by group; absl's own flags are left out.

    Args:
        takes: What the program's arguments are; empty if it takes flags only.
    """
    shown = [(sys.modules["__main__"].__doc__ or "").strip(), *(["", f"Arguments: {takes}"] if takes else [])]
    own = own_flags()
    grouped = [(title, [name for name in names if name in own]) for title, names in GROUPS.items()]
    rest = own - {name for names in GROUPS.values() for name in names}
    for title, names in (*grouped, (OTHER, sorted(rest))):
        if names:
            shown += ["", f"{title}:", *(line for name in names for line in _entry(flags.FLAGS[name]))]
    return "\n".join([*shown, "", "--helpfull lists absl's flags too (logging, profiling)."])


def _entry(flag: flags.Flag) -> list[str]:
    """The flag and its words, side by side."""
    several = isinstance(flag, flags.MultiFlag)
    if isinstance(flag, flags.BooleanFlag):
        name = f"--[no]{flag.name}"
    else:
        kind = flag.flag_type().removeprefix("multi ")
        name = f"--{flag.name}={_KINDS.get(kind, kind.upper())}"
    words = " ".join(flag.help.removesuffix(_REPEAT).split())
    choices = getattr(flag.parser, "enum_values", None)
    if choices:
        words = words.removeprefix(f"<{'|'.join(choices)}>: ")
    notes = [f"One of {', '.join(choices)}."] if choices else []
    if several and "repeated" not in words:
        notes.append("May be repeated.")
    default = ",".join(map(str, flag.default)) if isinstance(flag.default, list) else flag.default
    if default not in (None, "") and "Default" not in words:
        notes.append(f"Default: {str(default).lower() if isinstance(default, bool) else default}.")
    text = " ".join([words if words.endswith((".", ")")) else f"{words}.", *notes])
    lines = textwrap.wrap(text, _WIDTH - _COLUMN)
    first = f"  {name}".ljust(_COLUMN)
    if len(first) > _COLUMN:
        return [first, *(" " * _COLUMN + line for line in lines)]
    return [first + lines[0], *(" " * _COLUMN + line for line in lines[1:])]


def own_flags() -> set[str]:
    """The names of the flags that this project defines in this process."""
    modules = flags.FLAGS.flags_by_module_dict()
    ours = [found for module, found in modules.items() if module == sys.argv[0] or module.startswith(_OURS)]
    return {flag.name for found in ours for flag in found}
