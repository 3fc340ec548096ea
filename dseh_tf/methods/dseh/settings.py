"""The settings of DSEH, and which of them are valid together."""

from __future__ import annotations

from dataclasses import dataclass

from dseh_tf.errors import InputError
from dseh_tf.methods.settings import check_choices, check_numbers


@dataclass(frozen=True)
class DSEHSettings:
    """One configuration of DSEH. The defaults are those of the release for NUS-WIDE.

    Every difference between the paper and the release is one field. docs/settings.md shows the values as a table.

    Attributes:
        labnet_width: Units of LabNet's first layer.
        feature_dim: Width d of both semantic features.
        feature_activation: Activation of both semantic features, "relu", "linear" or "tanh".
        hash_input: What ImgNet's hash layer reads: "pre_activation" or "feature" of fc8, or "trunk", the input of fc8.
        label_head: Activation of LabNet's class outputs, "sigmoid" or "linear".
        dropout: Dropout rate of ImgNet after fc6 and fc7, or on frozen features.
        feature_layer: Units of a ReLU layer between frozen features and fc8 (ours; CNN-F has fc6 and fc7 to adapt), 0 for
            none. A trunk that is trained never has it.
        labnet_weight_size: Standard deviation of LabNet's first weights, truncated normal; of biases it is .01.

        theta_scale: Factor of the inner products in eq. 5, 7 and 12.
        pair_set: LabNet's pairs, "bank" (all training rows x batch) or "batch". ImgNet's are always all training rows'
            LabNet features x batch.
        normalization: "mean" of every term over its own entries, or "rows": B times that, as Algorithm 1's sum over
            n x B pairs divided by n. It changes SGD, not Adam.
        labnet_feature_similarity, labnet_code_similarity, imgnet_similarity: What multiplies S in LabNet's J1 and J2 and
            in ImgNet's J1.

        labnet_feature_weight: alpha, of J1 in eq. 11.
        labnet_code_weight: Weight of J2.
        labnet_target_weight: Weight of the regression to solved label codes (ours).
        quantization_weight: beta, of J3.
        quantization_reduction: "mean" or "sum" over the bits.
        label_weight: gamma, of J4.
        imgnet_feature_weight: Weight of J1 in eq. 14.
        imgnet_code_weight: eta, of J2 in eq. 14.

        logit_scale: Factor of the hash layer's output in eq. 13.
        target_smoothing: What multiplies the targets 0 and 1 in eq. 13.

        optimizer: "adam" or "sgd".
        momentum: Momentum of SGD.
        labnet_learning_rate, imgnet_learning_rate: At the start. Both fall by 10^-.5 every `decay_epochs` epochs and every
            round.
        decay_epochs: See there.
        imgnet_schedule: "steps" is that; "cosine" falls to 0 over each of ImgNet's phases, along half a cosine.
        imgnet_least_steps: A phase of ImgNet has at least this number of steps: few training rows get more epochs.
        pretrained_multiplier: Learning rate of pretrained layers / new layers.
        labnet_clip, imgnet_clip: Each element of the gradient is clipped to [-clip, clip]; 0 for no clipping.
        labnet_clip_norm: LabNet's whole gradient is clipped to this length; 0 for no clipping.
        labnet_batch, imgnet_batch: Rows of all replicas.
        labnet_epochs, imgnet_epochs: One number per round.

        label_codes: "labnet": LabNet's signs teach ImgNet; or "solved": codes of the distinct label vectors that solve a
            least-squares problem (`dseh_tf.methods.dseh.label_codes`). LabNet learns those, so that unseen label vectors
            have codes too.
        code_similarity, code_affinity, code_distance, code_class_balance: Terms of that problem. The affinity is that of
            extracted image features, or of the label vectors if there are none.

        bank_reinit: What the banks hold when LabNet trains again (section 3.4), "imgnet", "keep" or "random".
        bank_reinit_mean_subtract: False gives ImgNet images with their mean for that, as the release does by mistake.
    """

    labnet_width: int = 2048
    feature_dim: int = 512
    feature_activation: str = "relu"
    hash_input: str = "pre_activation"
    label_head: str = "sigmoid"
    dropout: float = 0.5
    feature_layer: int = 0
    labnet_weight_size: float = 0.01

    theta_scale: float = 0.5
    pair_set: str = "bank"
    normalization: str = "mean"
    labnet_feature_similarity: float = 0.999
    labnet_code_similarity: float = 0.999
    imgnet_similarity: float = 0.999

    labnet_feature_weight: float = 1.0
    labnet_code_weight: float = 1.0
    labnet_target_weight: float = 0.0
    quantization_weight: float = 0.01
    quantization_reduction: str = "mean"
    label_weight: float = 1.0
    imgnet_feature_weight: float = 1.0
    imgnet_code_weight: float = 1.0

    logit_scale: float = 10.0
    target_smoothing: float = 0.999

    optimizer: str = "adam"
    momentum: float = 0.0
    labnet_learning_rate: float = 1e-3
    imgnet_learning_rate: float = 1e-4
    decay_epochs: int = 10
    imgnet_schedule: str = "steps"
    imgnet_least_steps: int = 0
    pretrained_multiplier: float = 0.1
    labnet_clip: float = 1.0
    imgnet_clip: float = 0.0
    labnet_clip_norm: float = 0.0
    labnet_batch: int = 32
    imgnet_batch: int = 128
    labnet_epochs: tuple[int, ...] = (30, 20, 10)
    imgnet_epochs: tuple[int, ...] = (40, 40, 40)

    label_codes: str = "labnet"
    code_similarity: float = 0.5
    code_affinity: float = 0.7
    code_distance: float = 0.31
    code_class_balance: float = 0.5

    bank_reinit: str = "imgnet"
    bank_reinit_mean_subtract: bool = True

    @property
    def rounds(self) -> int:
        return len(self.labnet_epochs)

    @property
    def reads_banks(self) -> bool:
        """Whether a term of LabNet's loss reads the memory banks."""
        return self.pair_set == "bank" and bool(self.labnet_feature_weight or self.labnet_code_weight)

    @property
    def has_feature(self) -> bool:
        """Whether ImgNet has an fc8: its hash layer reads it, or J1 trains it."""
        return self.hash_input != "trunk" or self.imgnet_feature_weight != 0


_CHOICES = {
    "feature_activation": ("relu", "linear", "tanh"),
    "hash_input": ("pre_activation", "feature", "trunk"),
    "label_head": ("sigmoid", "linear"),
    "pair_set": ("bank", "batch"),
    "normalization": ("mean", "rows"),
    "quantization_reduction": ("mean", "sum"),
    "optimizer": ("adam", "sgd"),
    "imgnet_schedule": ("steps", "cosine"),
    "label_codes": ("labnet", "solved"),
    "bank_reinit": ("imgnet", "keep", "random"),
}
_LEAST = dict.fromkeys(("labnet_batch", "imgnet_batch", "decay_epochs", "labnet_width", "feature_dim"), 1)
_POSITIVE = ("labnet_learning_rate", "imgnet_learning_rate", "theta_scale", "logit_scale")
# Of the terms of LabNet's loss and of ImgNet's.
_WEIGHTS = (
    ("labnet_feature_weight", "labnet_code_weight", "labnet_target_weight", "quantization_weight", "label_weight"),
    ("imgnet_feature_weight", "imgnet_code_weight"),
)


def check(settings: DSEHSettings, labels_only: bool = False) -> None:
    """Raises InputError for a setting that is not valid, alone or in combination with others.

    Args:
        settings: As they will be used.
        labels_only: Whether LabNet alone is trained.
    """
    s = settings
    check_choices(s, _CHOICES)
    check_numbers(s, _LEAST, ("dropout", "momentum", "code_distance"), _POSITIVE)
    if s.labnet_target_weight and s.label_codes != "solved":
        raise InputError(
            f"labnet_target_weight: found {s.labnet_target_weight} with label_codes={s.label_codes}, expected solved"
        )
    for terms in _WEIGHTS:
        if not any(getattr(s, name) for name in terms):
            raise InputError(f"{', '.join(terms)}: found 0 for all of them, expected a nonzero value for at least one")
    if not s.labnet_epochs:
        raise InputError("labnet_epochs: found 0 rounds, expected at least 1")
    if not labels_only and len(s.imgnet_epochs) != len(s.labnet_epochs):
        found, expected = len(s.imgnet_epochs), len(s.labnet_epochs)
        raise InputError(f"imgnet_epochs: found {found} rounds, expected {expected} as labnet_epochs")
    if not labels_only and s.rounds > 1 and s.reads_banks and s.bank_reinit == "imgnet" and not s.has_feature:
        raise InputError(
            "bank_reinit: found imgnet where ImgNet learns no semantic feature (hash_input=trunk, imgnet_feature_weight=0), "
            "expected keep or random"
        )
