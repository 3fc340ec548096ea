"""Published numbers that the tables print next to ours. They never fill a cell of our own results.

Data sets and methods go by the names of the catalog and of `dseh_tf.methods.METHODS`.
"""

from __future__ import annotations

from dataclasses import dataclass

DSEH_TABLE_1 = "Li et al., Deep Joint Semantic-Embedding Hashing, IJCAI 2018, Table 1"
DSEH_TABLE_2 = "Li et al., Deep Joint Semantic-Embedding Hashing, IJCAI 2018, Table 2 (32 bits, mean of 10 runs)"
DSAH_POSTER = "Deep Semantic Asymmetric Hashing, poster, Table 1 (CIFAR-10, Top-5K)"
DJSRH_README = (
    "Su et al., Deep Joint-Semantics Reconstructing Hashing, ICCV 2019, ablation of the release's README (MAP@50)"
)

_MAP_BITS = (16, 32, 48, 64)
_MAP_DATASETS = ("nus_wide_21", "imagenet_100", "ms_coco")
_MAP_ROWS = {
    "dseh": ((0.7119, 0.7312, 0.7372, 0.7422), (0.5278, 0.6137, 0.6397, 0.6548), (0.5897, 0.6048, 0.6133, 0.6188)),
    "hashnet": ((0.7007, 0.7275, 0.7301, 0.7374), (0.3260, 0.4563, 0.5018, 0.5270), (0.5600, 0.5850, 0.5989, 0.6056)),
    "dhn": ((0.6512, 0.6611, 0.6675, 0.6741), (0.1838, 0.2344, 0.2375, 0.2564), (0.5353, 0.5456, 0.5486, 0.5555)),
    "dpsh": ((0.6902, 0.7049, 0.7130, 0.7158), (0.2730, 0.2841, 0.3111, 0.3242), (0.5618, 0.5774, 0.5857, 0.5901)),
    "cnnh": ((0.6573, 0.6601, 0.6716, 0.6781), (0.2488, 0.3047, 0.3263, 0.3387), (0.5115, 0.5232, 0.5283, 0.5328)),
    "sdh": ((0.6488, 0.6703, 0.6811, 0.6857), (0.3687, 0.4292, 0.4446, 0.4600), (0.5312, 0.5632, 0.5634, 0.5741)),
    "itq_cca": ((0.6125, 0.6472, 0.6655, 0.6766), (0.2312, 0.4061, 0.4316, 0.4568), (0.5418, 0.5658, 0.5704, 0.5715)),
    "ksh": ((0.6404, 0.6636, 0.6689, 0.6731), (0.3064, 0.3874, 0.4006, 0.4168), (0.5496, 0.5574, 0.5628, 0.5688)),
    "itq": ((0.5715, 0.5876, 0.5910, 0.5985), (0.1668, 0.2452, 0.2929, 0.3184), (0.4834, 0.4993, 0.5111, 0.5153)),
    "sh": ((0.4459, 0.4504, 0.4342, 0.4244), (0.1194, 0.1776, 0.2143, 0.2335), (0.4494, 0.4400, 0.4397, 0.4316)),
    "lsh": ((0.4624, 0.4431, 0.4433, 0.4816), (0.0278, 0.0526, 0.0720, 0.0966), (0.3718, 0.3807, 0.3945, 0.4119)),
}

# MAP[dataset][method][bits]; full ranking.
MAP: dict[str, dict[str, dict[int, float]]] = {
    dataset: {method: dict(zip(_MAP_BITS, rows[i], strict=True)) for method, rows in _MAP_ROWS.items()}
    for i, dataset in enumerate(_MAP_DATASETS)
}


@dataclass(frozen=True)
class Ablation:
    """A row of Table 2: distinct label codes n_h, MAP of labels map_l, MAP of images map_i."""

    n_h: int
    map_l: float
    map_i: float


ABLATION_BITS = 32

# ABLATION[dataset][method], 32 bits.
ABLATION: dict[str, dict[str, Ablation]] = {
    "nus_wide_21": {
        "dseh": Ablation(2008, 0.9664, 0.7312),
        "dseh_s": Ablation(1959, 0.9633, 0.7208),
        "dseh_ss": Ablation(1164, 0.9322, 0.7013),
        "dseh_l": Ablation(1036, 0.9607, 0.7251),
        "dseh_a": Ablation(1684, 0.9558, 0.7234),
    },
    "imagenet_100": {
        "dseh": Ablation(100, 1.0000, 0.6137),
        "dseh_s": Ablation(100, 1.0000, 0.5988),
        "dseh_ss": Ablation(98, 0.9825, 0.5681),
        "dseh_l": Ablation(100, 1.0000, 0.6070),
        "dseh_a": Ablation(100, 1.0000, 0.5576),
    },
    "ms_coco": {
        "dseh": Ablation(1907, 0.8276, 0.6048),
        "dseh_s": Ablation(1933, 0.8260, 0.5907),
        "dseh_ss": Ablation(1220, 0.7452, 0.5237),
        "dseh_l": Ablation(802, 0.8199, 0.5915),
        "dseh_a": Ablation(1574, 0.8134, 0.5850),
    },
}

_TOP5K_BITS = (12, 24, 36, 48)
_TOP5K_ROWS = {
    "ksh": (0.524, 0.534, 0.558, 0.601),
    "sdh": (0.461, 0.606, 0.650, 0.664),
    "itq": (0.354, 0.371, 0.414, 0.423),
    "fasth": (0.596, 0.712, 0.753, 0.741),
    "dnnh": (0.690, 0.752, 0.740, 0.788),
    "hashnet": (0.763, 0.822, 0.834, 0.821),
    "daph": (0.871, 0.887, 0.915, 0.894),
    "adsh": (0.890, 0.924, 0.932, 0.934),
    "dsah": (0.911, 0.930, 0.943, 0.948),
}

# TOP5K[dataset][method][bits].
TOP5K: dict[str, dict[str, dict[int, float]]] = {
    "cifar10": {method: dict(zip(_TOP5K_BITS, row, strict=True)) for method, row in _TOP5K_ROWS.items()}
}

# By row of the ablation (`dseh_tf.methods.cross_modal.settings.ABLATIONS`): image->text and text->image at 64 bits, then at 128.
_DJSRH_ROWS = {
    "image_affinity": (0.717, 0.712, 0.741, 0.735),
    "text_affinity": (0.702, 0.606, 0.734, 0.581),
    "mixed_affinity": (0.724, 0.720, 0.747, 0.738),
    "second_order": (0.790, 0.745, 0.803, 0.757),
    "scaled": (0.793, 0.747, 0.812, 0.768),
    "full": (0.798, 0.771, 0.817, 0.789),
    "fixed_alpha": (0.786, 0.770, 0.811, 0.782),
}

# DIRECTIONS[dataset][row][direction][bits]; MAP@50.
DIRECTIONS: dict[str, dict[str, dict[str, dict[int, float]]]] = {
    "nus_wide_10": {
        row: {"image->text": {64: a, 128: c}, "text->image": {64: b, 128: d}}
        for row, (a, b, c, d) in _DJSRH_ROWS.items()
    }
}
