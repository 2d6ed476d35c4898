"""A model from scratch keeps the contract; with one mistake in it, it does not.

A newcomer once broke such a model in fourteen ways, and the contract of that time saw three. Nine
of them are below, with others. Five can no longer be made:

- parts of the loss in another order than that of `Model.losses`: they have names;
- Ω and the parts computed in `predict`, too: only a step asks for `terms`;
- `build=False` forgotten: a model is built after the last line of its constructor;
- no guard against the second `build` of a loaded model: `make_weights` is called once;
- a part handed over by an attribute, without a test whether it is this call's: `compute` returns
  what `terms` needs.
"""

from types import MappingProxyType

import keras
import pytest
from contract import EAGER, assert_contract, assert_same_step_on_every_backend
from keras import ops

from kerasae import Autoencoder, checks, nets


@keras.saving.register_keras_serializable("tests")
class VectorQuantized(Autoencoder):
    """Minimises L(x, g(e)) + ‖sg(z) − e‖² + β ‖z − sg(e)‖² + Ω(e), z = f(x̃), e the entry next to z.

    The gradient passes from e to z as it is. Van den Oord, Vinyals & Kavukcuoglu, "Neural discrete
    representation learning" (2017).
    """

    parts = ("reconstruction", "codebook", "commitment")

    def __init__(self, encoder, decoder, entries=16, commitment=0.25, **kwargs):
        super().__init__(encoder, decoder, **kwargs)
        self.entries = checks.whole_number("entries", entries)
        self.commitment = checks.not_negative("commitment", commitment)

    def make_weights(self, shape):
        shape = (self.entries, *shape)
        self.codebook = self.add_weight(shape=shape, initializer="random_normal", name="codebook")

    def encoding(self, x, training):
        z = self.encoder(x, training=training)
        to_each = ops.expand_dims(z, 1) - ops.convert_to_tensor(self.codebook)
        entry = self.look_up(ops.argmin(ops.sum(ops.square(to_each), axis=-1), axis=-1))
        return {"z": z, "entry": entry, "code": z + ops.stop_gradient(entry - z)}

    def look_up(self, index):
        return ops.matmul(ops.one_hot(index, self.entries), self.codebook)

    def terms(self, x, y, found):
        z, entry = found["z"], found["entry"]
        codebook = ops.sum(ops.square(ops.stop_gradient(z) - entry), axis=-1)
        commitment = ops.sum(ops.square(z - ops.stop_gradient(entry)), axis=-1)
        own = {"codebook": codebook, "commitment": self.commitment * commitment}
        return super().terms(x, y, found) | own


def made(cls):
    return cls(*nets.mlp((8, 8, 1), code_size=3, units=(16,)), penalty=keras.regularizers.L1(1e-3))


@pytest.mark.home("torch")
def test_a_newcomers_model_keeps_the_contract(x, other_backends, tmp_path):
    assert_contract(lambda: made(VectorQuantized), x, other_backends, tmp_path)


# Mistakes of one line each, and what the contract says.

MISTAKES = {}


def mistake(message, registered=True):
    def listed(cls):
        MISTAKES[cls.__name__] = cls, message
        return keras.saving.register_keras_serializable("tests")(cls) if registered else cls

    return listed


@mistake("`penalty` counts nothing in evaluation")
class OmegaForgotten(VectorQuantized):
    def all_terms(self, x, y, found):
        return self.terms(x, y, found)


@mistake("the corruption does nothing in training")
class CorruptionIgnored(VectorQuantized):
    def corrupted(self, x, training):
        return x


@mistake("noise acts outside training")
class NoiseInEvaluation(VectorQuantized):
    def corrupted(self, x, training):
        return super().corrupted(x, True)


@mistake("Dropout before `encoder` does nothing in training")
class TrainingNotPassed(VectorQuantized):
    def encoding(self, x, training):
        return super().encoding(x, False)


@mistake("gradient does not reach")
class NotStraightThrough(VectorQuantized):
    def encoding(self, x, training):
        found = super().encoding(x, training)
        return {**found, "code": found["entry"]}


@mistake("Mismatched elements")
class CodeIsNotWhatIsDecoded(VectorQuantized):
    def compute(self, x, training):
        found = super().compute(x, training)
        return found | self.decoding(found["z"], training)


@mistake("`perplexity` counts nothing in evaluation")
class MeasureForgotten(VectorQuantized):
    measured = MappingProxyType({"perplexity": None})


@mistake("`get_config` lacks")
class ArgumentLost(VectorQuantized):
    def get_config(self):
        config = super().get_config()
        del config["commitment"]
        return config


@mistake("`commitment` is 0.225, in the configuration 0.25")
class ArgumentNotHandedOn(VectorQuantized):
    def get_config(self):
        return {**super().get_config(), "commitment": 0.25}


@mistake("the loss is .*, and not the sum of")
class LossScaled(VectorQuantized):
    def combine(self, terms, found):
        return 2 * super().combine(terms, found)


@mistake("the loss is .*, and not the sum of")
class TermTwice(VectorQuantized):
    def combine(self, terms, found):
        return super().combine(terms, found) + terms["codebook"]


@mistake("training does not lower the loss")
class WrongSign(VectorQuantized):
    def combine(self, terms, found):
        return super().combine({**terms, "commitment": -terms["commitment"]}, found)


@mistake("`commitment` ignores weights")
class WeightsIgnored(VectorQuantized):
    def terms(self, x, y, found):
        terms = super().terms(x, y, found)
        return {**terms, "commitment": ops.mean(terms["commitment"])}


@mistake("Could not locate class 'NotRegistered'", registered=False)
class NotRegistered(VectorQuantized):
    pass


SEEN_IN_EAGER_STEPS = (CorruptionIgnored, TrainingNotPassed, NotStraightThrough, WeightsIgnored)


class NoOthers:
    """No other backends, because to ask them would take most of the time."""

    def outputs(self, *_):
        return {}

    def steps(self, *_):
        return {}


@pytest.mark.home("torch")
@pytest.mark.parametrize("name", MISTAKES)
def test_the_contract_sees(name, x, tmp_path):
    cls, message = MISTAKES[name]
    if cls in SEEN_IN_EAGER_STEPS and not EAGER:
        pytest.skip("the contract runs many changed steps one by one, which JAX would compile")
    with pytest.raises((AssertionError, TypeError), match=message):
        assert_contract(lambda: made(cls), x, NoOthers(), tmp_path)


@keras.saving.register_keras_serializable("tests")
class Gathered(VectorQuantized):
    """On TensorFlow the gradient of `take` has a row for each use, which Adam would square."""

    def look_up(self, index):
        return ops.take(self.codebook, index, axis=0)


@pytest.mark.home("tensorflow")
def test_a_gradient_of_rows_is_summed(x, other_backends, tmp_path):
    model = made(Gathered)
    model.codebook.assign(model.codebook / 10)  # rows are used more than once
    assert_same_step_on_every_backend(model, x, None, "mse", other_backends, tmp_path)
