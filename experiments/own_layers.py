"""The flag for the user's own modules, which register the layer classes of a `.keras` backbone."""

from __future__ import annotations

from absl import flags

_MODULES = flags.DEFINE_list(
    "import_module",
    [],
    "Modules to import first, separated by commas. They must register the layer classes of a .keras backbone with "
    "keras.saving.register_keras_serializable.",
)


def imported() -> tuple[str, ...]:
    """Imports the modules and returns their names. Raises InputError if one cannot be imported."""
    names = tuple(_MODULES.value) if flags.FLAGS.is_parsed() else ()  # a main function may be called without flags
    if names:
        from dseh_tf.models.backbones.keras_file import import_modules

        import_modules(names)
    return names
