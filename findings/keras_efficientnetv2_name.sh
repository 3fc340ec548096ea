#!/usr/bin/env bash
# Keras: the name of an EfficientNetV2 chooses its layers, so no other name can be given.
#
# Packages (Python 3.11): keras==3.15.1 jax==0.4.38 jaxlib==0.4.38 numpy==2.2.6 ml_dtypes==0.5.4 h5py==3.16.0
# packaging==26.0 pillow==12.0.0 (the smallest backend; it is the same with TensorFlow)
#
# Behaviour:
#   Every network of keras.applications takes `name`, "The name of the model". EfficientNetV2B0 looks up its blocks by this
#   name. With another one it fails with a KeyError of the name; with the name of a larger network ("efficientnetv2-s") it
#   builds that network's blocks under the function of B0. EfficientNetB0 and ResNet50 take any name.
#
# Expected:
#   The same network under another name.
#
# Seen:
#   ResNet50 named trunk: 318 weights, as without a name: True
#   EfficientNetB0 named trunk: 312 weights, as without a name: True
#   EfficientNetV2B0 named trunk: KeyError: 'trunk'
#   EfficientNetV2B0 named efficientnetv2-s: 670 weights, as without a name: False
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check keras==3.15.1 jax==0.4.38 jaxlib==0.4.38 numpy==2.2.6 \
  ml_dtypes==0.5.4 h5py==3.16.0 packaging==26.0 pillow==12.0.0
cat > "$work/names.py" <<'PYTHON'
from keras import applications


def weights(kind, **options):
    network = kind(weights=None, include_top=False, input_shape=(64, 64, 3), **options)
    return len(network.weights)


def told(kind, name):
    plain = weights(kind)
    try:
        found = weights(kind, name=name)
    except KeyError as error:
        return f"KeyError: {error}"
    return f"{found} weights, as without a name: {found == plain}"


for kind, name in (
    ("ResNet50", "trunk"),
    ("EfficientNetB0", "trunk"),
    ("EfficientNetV2B0", "trunk"),
    ("EfficientNetV2B0", "efficientnetv2-s"),
):
    print(f"{kind} named {name}: {told(getattr(applications, kind), name)}")
PYTHON
cd "$work"
KERAS_BACKEND=jax "$work/venv/bin/python" names.py > seen.txt
cat seen.txt
grep -q "^ResNet50 named trunk: .* True$" seen.txt
grep -q "^EfficientNetB0 named trunk: .* True$" seen.txt
grep -q "^EfficientNetV2B0 named trunk: KeyError: 'trunk'$" seen.txt
grep -q "^EfficientNetV2B0 named efficientnetv2-s: .* False$" seen.txt
