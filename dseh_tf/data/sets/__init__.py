"""One file per data set: its options, its protocol and its loader. `dseh_tf.data.catalog` has them by name."""
