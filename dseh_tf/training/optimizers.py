"""Optimisers, and the update step with the gradients of all replicas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from dseh_tf.devices.replicas import replica_count, sum_gradients


@dataclass(frozen=True)
class VariableGroup:
    """Variables that learn at one rate: base rate times `multiplier`.

    clip: their gradients' elements are clipped to ±clip, clip_norm: their gradients together to that length; 0 for neither.
    """

    optimizer: keras.optimizers.Optimizer
    variables: Sequence
    multiplier: float = 1.0
    clip: float = 0.0
    clip_norm: float = 0.0


class OnePassAdam(keras.optimizers.Adam):
    """Keras' Adam, each variable and its moments updated in one pass over memory instead of ten.

    By TensorFlow's own kernel, that of the release's tf.train.AdamOptimizer: rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) *
    m / (sqrt(v) + epsilon). It takes 1 - beta_2 in float32, Keras in float64, which are 1.3e-5 apart.
    """

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        index, step = self._get_variable_index(variable), tf.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=raw(self._momentums[index]).handle,
            v=raw(self._velocities[index]).handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, variable.dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, variable.dtype), step),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=tf.cast(self.beta_1, variable.dtype),
            beta2=tf.cast(self.beta_2, variable.dtype),
            epsilon=tf.cast(self.epsilon, variable.dtype),
            grad=tf.cast(gradient, variable.dtype),
        )


def build_optimizer(
    name: str, variables: Sequence, momentum: float = 0.0, nesterov: bool = False
) -> keras.optimizers.Optimizer:
    """Adam with the release's epsilon of 1e-8 (Keras has 1e-7), RMSprop, or SGD.

    It is built at once, inside the strategy's scope: tf.function would create its variables in the first step, and fail.
    RMSprop is that of torch, for which the rivals' published settings were made: decay .99, and 1e-8 added to the root,
    where Keras adds its epsilon below the root.
    """
    if name == "adam":
        optimizer = OnePassAdam(1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-8)
    elif name == "rmsprop":
        optimizer = keras.optimizers.RMSprop(1e-3, rho=0.99, momentum=momentum, epsilon=1e-16)
    else:
        optimizer = keras.optimizers.SGD(1e-3, momentum=momentum, nesterov=nesterov)
    optimizer.build(list(variables))
    return optimizer


def apply_gradients(groups: Sequence[VariableGroup], gradients: Sequence[tf.Tensor]) -> None:
    """Updates all groups by their part of `gradients`, which are those of this replica's share of the loss.

    Keras sums gradients over replicas inside `apply`, after its clipping. To clip the sum, as one device would, the sum
    is taken first; each replica then passes an equal part of it to Keras.
    """
    start = 0
    for group in groups:
        part = list(gradients[start : start + len(group.variables)])
        start += len(group.variables)
        if not part:
            continue
        if group.clip or group.clip_norm:
            part = sum_gradients(part)
            if group.clip:  # one pass over memory; tf.clip_by_value makes two of it
                part = [
                    tf.raw_ops.ClipByValue(t=g, clip_value_min=-group.clip, clip_value_max=group.clip) for g in part
                ]
            if group.clip_norm:
                part, _ = tf.clip_by_global_norm(part, group.clip_norm)
            part = [g / replica_count() for g in part] if replica_count() > 1 else part
        group.optimizer.apply(part, group.variables)


def raw(variable: object) -> tf.Variable:
    """The TensorFlow variable of a Keras one."""
    return getattr(variable, "value", variable)
