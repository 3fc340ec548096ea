"""Loss terms as pure functions of tensors, one module per kind.

Sources are given as an equation or as owner/name:path; "the release" is lelan-li/DSEH:DSEH.py at b40990a, and equation
numbers without a paper are those of Li et al., "Deep Joint Semantic-Embedding Hashing", IJCAI 2018. Each function
returns the sum over the rows, pairs or entries that it gets. The caller divides by their number in the *global* batch,
so that the shares of replicas add up to the same loss.
"""

from dseh_tf.losses.adversary import source_cross_entropy
from dseh_tf.losses.affinity import Reconstruction, cosine_affinity, joint_affinity, reconstruction_losses
from dseh_tf.losses.asymmetric import bit_balance, bit_correlation, database_pairs
from dseh_tf.losses.centres import (
    centre_likelihood,
    centre_targets,
    labelled_rows,
    margin_cosines,
    polarization,
    shared_cross_entropy,
)
from dseh_tf.losses.pairs import (
    bank_likelihood,
    inner_products,
    pair_likelihood,
    similarity,
    squared_likelihood,
    weighted_likelihood,
)
from dseh_tf.losses.quantization import (
    absolute_distance,
    continuation,
    cubic_distance,
    laplacian_distance,
    piecewise_threshold,
    sign_distance,
    tanh_distance,
)
from dseh_tf.losses.regression import code_cross_entropy, code_regression, label_regression
from dseh_tf.losses.triplets import sample_triplets, triplet_hinge

__all__ = [
    "Reconstruction",
    "absolute_distance",
    "bank_likelihood",
    "bit_balance",
    "bit_correlation",
    "centre_likelihood",
    "centre_targets",
    "code_cross_entropy",
    "code_regression",
    "continuation",
    "cosine_affinity",
    "cubic_distance",
    "database_pairs",
    "inner_products",
    "joint_affinity",
    "label_regression",
    "labelled_rows",
    "laplacian_distance",
    "margin_cosines",
    "pair_likelihood",
    "piecewise_threshold",
    "polarization",
    "reconstruction_losses",
    "sample_triplets",
    "shared_cross_entropy",
    "sign_distance",
    "similarity",
    "source_cross_entropy",
    "squared_likelihood",
    "tanh_distance",
    "triplet_hinge",
    "weighted_likelihood",
]
