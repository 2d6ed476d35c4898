"""Transfer learning: the parts of a new model, made from the networks of trained ones.

    trained network    …, layer k | layer k + 1, …, output
    encoder            …, layer k                              copied, or shared
    head               a new layer from its code to the logits

Yosinski, Clune, Bengio & Lipson, "How transferable are features in deep neural networks?" (2014).
"""

from typing import Any

import keras

from kerasae import checks
from kerasae.engine import arguments, graphs


def lower_layers(trained: keras.Model, cut: str | int | None, copy: bool) -> keras.Model:
    """Return the lower layers of a trained network as an encoder.

    Args:
        trained: A functional or built sequential network.
        cut: The last layer to keep, by its name or its index in `trained.layers`; by default
            the layer below the last one that has weights.
        copy: If True, the layers are copied, else shared.
    """
    trained = arguments.network("trained", trained)
    if not graphs.is_built(trained):
        raise ValueError(
            f"`trained` is a {type(trained).__name__} without a graph of layers, expected a "
            "functional or built Sequential model, or its encoder given to the constructor."
        )
    if copy:
        trained = graphs.copied("trained", trained)
    inputs, code = graphs.input_of("trained", trained), graphs.cut_at(trained, cut)
    whole = len(trained.outputs) == 1 and trained.outputs[0] is code
    return trained if whole else keras.Model(inputs, code, name="encoder")


def own_network(name: str, network: keras.Model, copy: bool) -> keras.Model:
    """Return a copy of the caller's network, or the network itself if `copy` is False."""
    network = arguments.network(name, network)
    return graphs.copied(name, network) if copy else network


def own_encoder(encoder: keras.Model, copy: bool) -> keras.Model:
    """Return a copy of the caller's encoder, or the encoder itself if `copy` is False."""
    arguments.network("encoder", encoder)
    if isinstance(getattr(encoder, "encoder", None), keras.Model):
        raise ValueError(
            f"`encoder` is a {type(encoder).__name__}, expected the encoder in it: pass its "
            "`.encoder`."
        )
    return own_network("encoder", encoder, copy)


def new_head(head: keras.layers.Layer | None, classes: int) -> keras.layers.Layer:
    """Return the network from the code to the logits: the given one, or one dense layer."""
    if head is None:
        layers = [keras.layers.Flatten(), keras.layers.Dense(classes, name="logits")]
        return keras.Sequential(layers, name="head")
    if not isinstance(head, keras.layers.Layer):
        raise ValueError(f"`head` is {head!r}, expected a Keras network, a layer or None.")
    last = head.layers[-1] if isinstance(head, keras.Model) and head.layers else head
    softmax = getattr(last, "activation", None) is keras.activations.softmax
    if softmax or isinstance(last, keras.layers.Softmax):
        raise ValueError("`head` ends in a softmax, expected logits: the classifier adds its own.")
    return head


def build_head(head: keras.layers.Layer, code: keras.KerasTensor, classes: int) -> None:
    """Build the head and check that it gives one logit for each class."""
    try:
        logits = head(code)
    except ValueError as error:  # for instance a dense layer on a map of unknown size
        raise ValueError(
            f"`head` does not take the encoder's codes of shape {tuple(code.shape[1:])}, "
            "expected one that does, such as pooling and a dense layer."
        ) from error
    if tuple(logits.shape[1:]) != (classes,):
        raise ValueError(
            f"`head` gives outputs of shape {tuple(logits.shape[1:])} for codes of shape "
            f"{tuple(code.shape[1:])}, expected one logit for each of {classes} classes."
        )


def build_decoder(decoder: keras.Model, inputs: Any, code: keras.KerasTensor) -> None:
    """Build the decoder and check that it maps the code to the input's shape."""
    if isinstance(inputs, dict):
        raise ValueError("`decoder` is given, expected none for an encoder of several inputs.")
    expected = graphs.input_shape(decoder)
    if expected is not None and not checks.fits(code.shape[1:], expected[1:]):
        raise ValueError(
            f"`decoder` takes codes of shape {tuple(expected[1:])}, but `encoder` gives codes of "
            f"shape {tuple(code.shape[1:])}: expected the same shape."
        )
    output = decoder(code)
    if not checks.fits(output.shape[1:], inputs.shape[1:]):
        raise ValueError(
            f"`decoder` gives reconstructions of shape {tuple(output.shape[1:])}, expected the "
            f"shape of the input, {tuple(inputs.shape[1:])}."
        )
