"""DSEH's settings, every choice on which the paper and the authors' release differ as one named field.

`RELEASE[row]` holds the values of lelan-li/DSEH (main.py, DSEH.py, net_vggf.py at b40990a), `PAPER[row]` those of
Li et al., "Deep Joint Semantic-Embedding Hashing", IJCAI 2018; row is one of `ROWS`. docs/settings.md has them as a table.
`MODERN` is ours, the default on data without published settings; docs/studies/modern.md says what its departures are worth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

ROWS = ("nus_wide", "imagenet", "ms_coco")


@dataclass(frozen=True)
class DSEHSettings:
    """One configuration of DSEH. The defaults are the release's for NUS-WIDE.

    Networks
      labnet_width: units of LabNet's first layer. feature_dim: width of both semantic features.
      feature_activation: of both semantic features, "relu", "linear" or "tanh".
      hash_input: what ImgNet's hash layer reads, "pre_activation" or "feature" of fc8, or "trunk": what fc8 reads, so that
        no 512 linear units lie between.
      label_head: activation of LabNet's class outputs, "sigmoid" or "linear".
      dropout: share of units dropped behind fc6 and fc7, or on frozen features, while ImgNet trains.
      feature_layer: units of a ReLU layer of ours between frozen features and fc8, where CNN-F has fc6 and fc7 to adapt;
      0 for none, and always none above a trunk that is trained.
      labnet_weight_size: of LabNet's first weights, drawn from a truncated normal; biases are normal of size .01.
    Pair likelihoods (eq. 5, 7 and 12)
      theta_scale: factor of the inner products. pair_set: LabNet's, "bank" (all training rows x batch) or "batch"; ImgNet's
        pairs are always those of LabNet's features of all rows with the batch.
      normalization: "mean" of every term over its own entries, or "rows": B times that, as Algorithm 1's sum over n x B
        pairs divided by n (SGD feels the difference, Adam does not).
      labnet_feature_similarity, labnet_code_similarity, imgnet_similarity: what multiplies S in J1, J2 and ImgNet's J1.
    Weights of the terms
      labnet_feature_weight (alpha, J1), labnet_code_weight (J2), labnet_target_weight (of the solved codes, see below),
      quantization_weight (beta, J3),
      quantization_reduction: "mean" or "sum" over the bits, label_weight (gamma, J4),
      imgnet_feature_weight (J1 of ImgNet), imgnet_code_weight (eta, J2 of ImgNet).
    ImgNet's code likelihood (eq. 13)
      logit_scale: temperature on the hash layer's output. target_smoothing: what multiplies the targets in {0, 1}.
    Optimisation
      optimizer: "adam" or "sgd"; momentum belongs to sgd.
      labnet_learning_rate, imgnet_learning_rate: at the start; both fall by 10^-.5 every `decay_epochs` epochs and
      every round. pretrained_multiplier: learning rate of pretrained layers against new ones.
      labnet_clip, imgnet_clip: each gradient element is clipped to [-clip, clip]; 0 for no clipping.
      labnet_clip_norm: the length of LabNet's whole gradient is clipped to this; 0 for no clipping.
      labnet_batch, imgnet_batch: global batch sizes. labnet_epochs, imgnet_epochs: one number a round.
      imgnet_schedule: "steps" is that; "cosine" falls to 0 over each of ImgNet's phases, along half a cosine.
      imgnet_least_steps: a phase of ImgNet has at least this many steps: few training rows get more epochs.
    Label codes (ours, `dseh_tf.methods.dseh.label_codes`)
      label_codes: "labnet", whose signs teach ImgNet, or "solved": codes of the distinct label vectors that solve a
        least-squares problem; LabNet learns them as targets, so that unseen label vectors have codes too.
      code_similarity, code_affinity, code_distance, code_class_balance: the terms of that problem. The affinity is
        of extracted image features, or of the label vectors where there are none.
    Alternation (section 3.4)
      bank_reinit: what the banks hold when LabNet trains again, "imgnet", "keep" or "random".
      bank_reinit_mean_subtract: False feeds ImgNet images without their mean for that, as the release does by mistake.
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


_NUS_WIDE = DSEHSettings()

RELEASE: dict[str, DSEHSettings] = {
    "nus_wide": _NUS_WIDE,
    "ms_coco": replace(
        _NUS_WIDE,
        labnet_feature_similarity=0.8,
        labnet_code_similarity=0.8,
        imgnet_learning_rate=10**-3.5,
        labnet_epochs=(40, 30, 20),
    ),
    "imagenet": replace(
        _NUS_WIDE,
        labnet_feature_similarity=5.0,
        labnet_code_similarity=5.0,
        labnet_feature_weight=0.0,
        label_weight=0.1,
        imgnet_learning_rate=10**-4.5,
        imgnet_clip=1.0,
        pretrained_multiplier=1.0,
        labnet_epochs=(4, 3, 2),
    ),
}

_PAPER = replace(
    _NUS_WIDE,
    labnet_width=4096,
    theta_scale=1.0,
    normalization="rows",
    labnet_feature_similarity=1.0,
    labnet_code_similarity=1.0,
    imgnet_similarity=1.0,
    # eq. 8 counts the quantisation of i and of j, .005 each; both range over the same rows.
    quantization_weight=0.01,
    label_head="linear",
    logit_scale=1.0,
    target_smoothing=1.0,
    optimizer="sgd",
    # All of LabNet's layers are new, so they learn at ten times the paper's largest rate.
    labnet_learning_rate=1e-1,
    imgnet_learning_rate=1e-2,
    labnet_clip=0.0,
    # Departures: plain SGD from weights of size .01 hardly starts (docs/studies/label-side.md has the figures).
    momentum=0.9,
    labnet_weight_size=0.03,
    labnet_clip_norm=1.0,
    decay_epochs=20,
)

PAPER: dict[str, DSEHSettings] = {
    "nus_wide": _PAPER,
    "ms_coco": replace(
        _PAPER,
        # A departure too, and the largest: with S = 1 the codes saturate early, and SGD stays at map_l .78.
        labnet_feature_similarity=0.8,
        labnet_code_similarity=0.8,
        labnet_epochs=(40, 30, 20),
    ),
    "imagenet": replace(
        _PAPER,
        # S in {0, 5} is for the bounded codes; on the unbounded features it has no minimum.
        labnet_feature_similarity=0.999,
        labnet_code_similarity=5.0,
        labnet_epochs=(4, 3, 2),
    ),
}

# Ours: DSEH for any labels. docs/studies/modern.md has what each departure is worth.
_MODERN = replace(
    _NUS_WIDE,
    label_codes="solved",
    labnet_feature_weight=0.0,
    labnet_code_weight=0.0,
    labnet_target_weight=1.0,
    imgnet_feature_weight=0.0,
    hash_input="trunk",
    logit_scale=2.0,
    imgnet_schedule="cosine",
    labnet_batch=128,
    labnet_epochs=(10, 5),
    imgnet_epochs=(40, 40),
)

MODERN: dict[str, DSEHSettings] = dict.fromkeys(ROWS, _MODERN)

PRESETS = {"release": RELEASE, "paper": PAPER, "modern": MODERN}


def for_other_data(settings: DSEHSettings) -> DSEHSettings:
    """The settings for a data set that the sources have none for: S smoothed in LabNet as the release does on MS-COCO.

    With .999 pairs ask for inner products of 2 x 6.9, tanh saturates, and rows of different labels share codes. On a
    tenth of Corel-5k's training rows as queries, 32 bits, one round: map_l .795 and 312 codes with .999, .826 and 475
    with .9, .842 and 495 with .8; MAP of images .605 and .630 (.8).
    """
    return replace(settings, labnet_feature_similarity=0.8, labnet_code_similarity=0.8)


def for_trunk(settings: DSEHSettings, trunk: str) -> DSEHSettings:
    """The settings for a trunk other than CNN-F, to whose weights the sources' learning rates of ImgNet belong.

    trunk: "cnn_f" changes nothing. New layers on frozen "features" start at 1e-3 with Adam; so do those of another
    pretrained trunk that is "finetuned", itself at a tenth of that; SGD keeps its rate. Above frozen features stands a
    ReLU layer, for the hash layer reads fc8 before its activation and would otherwise be linear in them (on a tenth
    of Corel-5k's training rows as queries, one round: MAP .507 without it, .545 with 1,024 units, .556 with 2,048). As
    that layer has a dropout too, each drops less: .567 with .5, .605 with .3, .600 with .1 (the same rows, another draw).
    "compact" starts from nothing: it learns in batches of 32, four times as many steps an epoch, and drops no units.
    """
    if trunk == "features":
        settings = replace(settings, feature_layer=2048, dropout=0.3)
        if settings.label_codes == "solved":  # features exist from the start, so one round is enough
            epochs = {name: getattr(settings, name)[:1] for name in ("labnet_epochs", "imgnet_epochs")}
            return replace(
                settings, **epochs, imgnet_least_steps=2000, imgnet_learning_rate=7e-4, pretrained_multiplier=1.0
            )
    if trunk == "compact":
        settings = replace(settings, imgnet_batch=32, dropout=0.0)
        if settings.label_codes == "solved":  # a trunk from scratch learns better with the release's layers and rates
            settings = replace(
                settings,
                labnet_batch=32,
                hash_input="pre_activation",
                logit_scale=10.0,
                imgnet_schedule="steps",
                code_similarity=0.2,
                code_affinity=1.0,
            )
    if trunk == "cnn_f" or settings.optimizer != "adam":
        return settings
    return replace(settings, imgnet_learning_rate=1e-3, pretrained_multiplier=0.1 if trunk == "finetuned" else 1.0)
