"""Tables and figures, drawn from run folders alone; nothing here imports TensorFlow.

Every module is a program: `python -m figures.map_table --runs=runs --out=out`; `python -m figures.all` runs them all.
"""
