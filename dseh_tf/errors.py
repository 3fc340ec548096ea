"""The one exception for input that a user can put right."""


class InputError(ValueError):
    """Bad input, told in one line: which file, which field, what was found, what was expected.

    Programs in `experiments/` and `figures/` print the line to standard error and exit with a non-zero code.
    """
