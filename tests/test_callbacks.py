import keras
import numpy as np
import pytest
from keras import ops

from kerasae import Autoencoder, DenoisingAutoencoder, nets
from kerasae.callbacks import Record, WholeSetMean
from kerasae.corruptions import MaskingNoise
from kerasae.penalties import MeanActivation


@pytest.fixture
def x():
    return np.random.default_rng(0).random((50, 6), dtype="float32")


def sparse(corruption=None, model_class=Autoencoder):
    networks = nets.mlp((6,), 5, units=(), code_activation="sigmoid")
    penalties = [MeanActivation(1.0, mean="set"), MeanActivation(1.0, mean="batch")]
    model = model_class(*networks, corruption, penalties)
    model.compile(optimizer=keras.optimizers.SGD(0.0))  # so that the weights stay
    return model


def measured(model):
    return ops.convert_to_numpy(model.penalties[0].share)


class Stream(keras.utils.PyDataset):
    def __init__(self, x):
        super().__init__()
        self.x = x

    def __len__(self):
        return -(-len(self.x) // 16)

    def __getitem__(self, index):
        return self.x[index * 16 : (index + 1) * 16]


def loader(x):
    torch = pytest.importorskip("torch")
    tensors = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(x))
    return torch.utils.data.DataLoader(tensors, batch_size=16)


def dataset(x):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices(x).batch(16)


def a_list(x):
    return x.tolist()


@pytest.mark.parametrize(
    "kind", [np.asarray, a_list, ops.convert_to_tensor, Stream, loader, dataset]
)
def test_fit_measures_whatever_it_trains_on(kind, x):
    model = sparse()
    expected = model.encode(x).mean(axis=0)
    model.fit(kind(x), verbose=0)
    np.testing.assert_allclose(measured(model), expected, rtol=1e-5)


def test_an_endless_stream_is_read_for_as_long_as_an_epoch_lasts(x):
    tf = pytest.importorskip("tensorflow")
    model = sparse()
    stream = tf.data.Dataset.from_tensor_slices(x[:48]).batch(16).repeat()
    model.fit(stream, steps_per_epoch=2, epochs=2, verbose=0)
    np.testing.assert_allclose(measured(model), model.encode(x[:32]).mean(axis=0), rtol=1e-5)


@pytest.mark.home("torch")
def test_what_is_kept_for_validation_does_not_count(x):
    model = sparse()
    model.fit(x, validation_split=0.3, verbose=0)
    np.testing.assert_allclose(measured(model), model.encode(x[:35]).mean(axis=0), rtol=1e-5)


@pytest.mark.home("torch")
def test_a_callback_that_is_given_is_the_only_one(x):
    model = sparse()
    for callbacks in ([WholeSetMean(x[:7], batch_size=3)], WholeSetMean(x[:7])):
        model.penalties[0].measure(np.zeros(5))
        model.fit(x, callbacks=callbacks, verbose=0)
        np.testing.assert_allclose(measured(model), model.encode(x[:7]).mean(axis=0), rtol=1e-5)


@pytest.mark.home("torch")
def test_with_a_corruption_the_mean_is_that_of_corrupted_examples(x):
    model = sparse(MaskingNoise(1.0), DenoisingAutoencoder)
    model.fit(x, verbose=0)
    np.testing.assert_allclose(measured(model), model.encode(0 * x[:1])[0], rtol=1e-5)
    model.fit(x, np.ones_like(x), verbose=0)  # pairs: nothing is corrupted
    np.testing.assert_allclose(measured(model), model.encode(x).mean(axis=0), rtol=1e-5)


@pytest.mark.home("torch")
def test_generators_are_refused(x):
    model = sparse()
    with pytest.raises(ValueError, match="`x` is a generator, which can be read only once, expec"):
        model.fit((x[start : start + 10] for start in (0, 10)), verbose=0)


@pytest.mark.home("torch")
def test_penalties_that_do_not_ask_cost_nothing(x):
    model = Autoencoder(*nets.mlp((6,), 5), penalty=keras.regularizers.L1(0.1))
    model.compile()
    model.fit((x[start : start + 10] for start in (0, 10)), verbose=0)
    model.fit(x, callbacks=[WholeSetMean(x)], verbose=0)


def test_record_is_in_the_history_and_can_be_watched(x):
    model = sparse()
    seen = []

    def counted(model):
        seen.append(model)
        return len(seen)

    stop = keras.callbacks.EarlyStopping("count", mode="min", patience=2)
    callbacks = [Record("count", counted), Record("twice", lambda model: 2, every=2), stop]
    history = model.fit(x, epochs=9, callbacks=callbacks, verbose=0).history
    assert history["count"] == [1, 2, 3] and seen == [model] * 3
    np.testing.assert_array_equal(history["twice"], [np.nan, 2, np.nan])
    with pytest.raises(ValueError, match="`name` is 'loss', which the history has already"):
        model.fit(x, callbacks=[Record("loss", lambda model: 0)], verbose=0)
    with pytest.raises(ValueError, match="`every` is 0, expected a whole number of at least 1"):
        Record("zero", len, every=0)


def test_record_sees_the_weights_as_they_are(x):
    """On JAX the weights live elsewhere within an epoch."""
    model = sparse()
    model.compile(optimizer=keras.optimizers.SGD(1.0))
    first = Record("first", lambda model: model.get_weights()[0][0, 0])
    history = model.fit(x, epochs=3, callbacks=[first], verbose=0).history["first"]
    assert len(set(history)) == 3
    assert history[-1] == pytest.approx(model.get_weights()[0][0, 0])
