import builtins

import keras
import numpy as np
import pytest
from keras import ops

from kerasae import Autoencoder, DenoisingAutoencoder, nets
from kerasae.callbacks import Pictures, Record, WholeSetMean
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


def figure(model):
    matplotlib = pytest.importorskip("matplotlib.figure")
    figure = matplotlib.Figure(figsize=(2, 1), dpi=50)
    figure.subplots().plot(model.get_weights()[0])
    return figure


def test_record_and_pictures_see_the_weights_as_they_are(x):
    """On JAX the weights live elsewhere within an epoch."""
    model = sparse()
    model.compile(optimizer=keras.optimizers.SGD(1.0))
    first = Record("first", lambda model: model.get_weights()[0][0, 0])
    history = model.fit(x, epochs=3, callbacks=[first], verbose=0).history["first"]
    assert len(set(history)) == 3
    assert history[-1] == pytest.approx(model.get_weights()[0][0, 0])


@pytest.mark.home("torch")
def test_pictures_go_to_a_folder(x, tmp_path):
    image = pytest.importorskip("matplotlib.image")
    folder = tmp_path / "new" / "folder"
    sparse().fit(x, epochs=5, callbacks=[Pictures(figure, folder, every=2)], verbose=0)
    assert sorted(path.name for path in folder.iterdir()) == ["epoch_0002.png", "epoch_0004.png"]
    assert image.imread(folder / "epoch_0004.png").shape == (50, 100, 4)


@pytest.mark.home("torch")
def test_figures_of_pyplot_are_closed(x, tmp_path):
    pytest.importorskip("matplotlib").use("agg")
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    pictures = Pictures(lambda model: pyplot.figure(), tmp_path, every=1)
    sparse().fit(x, epochs=2, callbacks=[pictures], verbose=0)
    assert pyplot.get_fignums() == before


@pytest.mark.home("torch")
def test_pictures_go_to_tensorboard(x, tmp_path):
    pytest.importorskip("tensorboard", reason="the package tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    pictures = Pictures(figure, tmp_path / "folder", 2, tmp_path / "logs", name="weights")
    sparse().fit(x, epochs=4, callbacks=[pictures], verbose=0)
    events = EventAccumulator(str(tmp_path / "logs"))
    events.Reload()
    written = events.Images("weights")
    assert [event.step for event in written] == [2, 4]
    assert [(event.width, event.height) for event in written] == [(100, 50)] * 2
    saved = (tmp_path / "folder" / "epoch_0004.png").read_bytes()
    assert written[1].encoded_image_string == saved


@pytest.mark.home("torch")
def test_what_pictures_cannot_do_is_said_at_once(x, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="`folder` is None, expected a folder, or one in `tensorb"):
        Pictures(figure)
    with pytest.raises(ValueError, match="`picture` is 'loss', expected a function of the model"):
        Pictures("loss", tmp_path)
    with pytest.raises(ValueError, match="`picture` returned a float, expected a Matplotlib fig"):
        sparse().fit(x, callbacks=[Pictures(lambda model: 0.0, tmp_path, every=1)], verbose=0)

    original = builtins.__import__

    def without_tensorboard(name, *args, **kwargs):
        if name.startswith("tensorboard"):
            raise ModuleNotFoundError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_tensorboard)
    with pytest.raises(ValueError, match=r"not installed, expected it \(`pip install tensorboard`"):
        Pictures(figure, tensorboard=tmp_path)
