"""Tables and figures, made from run folders alone, without TensorFlow.

Every module is a program: `python -m figures.map_table --runs=runs --out=out`; `python -m figures.all` runs them all.
"""
