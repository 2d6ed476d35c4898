"""Rubbish to the methods of models and to constructors: a clear sentence or a right result."""

import inspect

import keras
import numpy as np
import pytest
from keras import layers
from rubbish import NUMBERS, arrays, of_type, outcome, values, verdict

import kerasae
from kerasae import callbacks, corruptions, likelihoods, nets, penalties, priors, probability
from kerasae.engine.randomness import random_states
from kerasae.penalties import MeanActivation

pytestmark = pytest.mark.home("torch")

COUNT, SIZE, CODE, CLASSES = 6, 5, 2, 3
RNG = np.random.default_rng(0)
X = RNG.random((COUNT, SIZE), dtype="float32")
LABELS = np.arange(COUNT) % CLASSES


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def networks(**arguments):
    return nets.mlp((SIZE,), CODE, (4,), **arguments)


def autoencoder():
    return kerasae.Autoencoder(*networks())


def contractive():
    return kerasae.ContractiveAutoencoder(*networks(), weight=0.1)


def classifier():
    return kerasae.Classifier(networks()[0], CLASSES)


def conditional():
    encoder, decoder = nets.conditional_mlp((SIZE,), (CLASSES,), CODE, (4,))
    return kerasae.ConditionalVariationalAutoencoder(encoder, decoder, classes=CLASSES)


def semi_supervised_networks():
    encoder = keras.Sequential([layers.Input((SIZE,)), layers.Dense(CODE + CLASSES)])
    decoder = keras.Sequential([layers.Input((CODE + CLASSES,)), layers.Dense(SIZE, "sigmoid")])
    return encoder, decoder


def semi_supervised():
    networks = semi_supervised_networks()
    return kerasae.SemiSupervisedAdversarialAutoencoder(*networks, classes=CLASSES)


def game():
    generator = keras.Sequential([layers.Input((CODE,)), layers.Dense(SIZE, "sigmoid")])
    discriminator = keras.Sequential([layers.Input((SIZE,)), layers.Dense(1)])
    return generator, discriminator


MODELS = {
    "autoencoder": autoencoder,
    "stacked": lambda: kerasae.StackedAutoencoder((4, CODE), input_shape=(SIZE,)),
    "denoising": lambda: kerasae.DenoisingAutoencoder(*networks(), layers.GaussianNoise(0.1)),
    "sparse": lambda: kerasae.SparseAutoencoder(
        *networks(code_activation="sigmoid"), penalty=MeanActivation(1e-3)
    ),
    "contractive": contractive,
    "variational": lambda: kerasae.VariationalAutoencoder(*networks(posterior="diagonal")),
    "conditional": conditional,
    "adversarial": lambda: kerasae.AdversarialAutoencoder(*networks()),
    "semi-supervised": semi_supervised,
    "gan": lambda: kerasae.GAN.mlp((SIZE,), CODE, (4,), output_activation="sigmoid"),
    "predictive": lambda: kerasae.PredictiveSparseDecomposition((SIZE,), CODE),
    "classifier": classifier,
}


def calls(name, model):
    """Calls with one argument for the rubbish: label → (function, the good array or `None`)."""
    z = RNG.normal(size=(COUNT, CODE)).astype("float32")
    conditional, gan = name == "conditional", name == "gan"
    data = {"x": X, "condition": LABELS} if conditional else X
    y = LABELS if name in ("classifier", "semi-supervised") else None
    given = () if y is None else (y,)

    def example(v):
        return {"x": v, "condition": LABELS} if conditional else v

    found = {
        "fit x": (lambda v: fit(model, example(v), *given), X),
        "fit sample_weight": (lambda v: fit(model, data, y, sample_weight=v), X[:, 0]),
        "fit epochs": (lambda v: model.fit(data, y, epochs=v, verbose=0), None),
        "fit batch_size": (lambda v: model.fit(data, y, batch_size=v, verbose=0), None),
        "evaluate x": (
            lambda v: model.evaluate(example(v), *given, verbose=0, batch_size=COUNT),
            X,
        ),
    }
    if not gan:
        found["predict x"] = (lambda v: model.predict(example(v), verbose=0), X)
        found["encode x"] = (lambda v: model.encode(example(v)), X)
        found["encode batch_size"] = (lambda v: model.encode(data, batch_size=v), None)
    if hasattr(model, "decode"):
        given = (LABELS,) if conditional else ()
        found["decode code"] = (lambda v: model.decode(v, *given), code_of(model, data))
        found["reconstruct x"] = (lambda v: model.reconstruct(example(v)), X)
        found["interpolate start"] = (lambda v: model.interpolate(v, X, *given), X)
        found["interpolate end"] = (lambda v: model.interpolate(X, v, *given), X)
        found["interpolate steps"] = (lambda v: model.interpolate(X, X, *given, steps=v), None)
    if hasattr(model, "classify"):
        found["classify x"] = (lambda v: model.classify(v), X)
        found["fit y"] = (lambda v: fit(model, data, v), None)
    if hasattr(model, "sample"):
        first = (LABELS,) if conditional else ()
        found["sample count"] = (lambda v: model.sample(*first, v), None)
        found["sample seed"] = (lambda v: model.sample(*first, 2, seed=v), None)
    if conditional:
        found["fit condition"] = (lambda v: fit(model, {"x": X, "condition": v}), None)
        found["sample condition"] = (lambda v: model.sample(v, 2), None)
    if hasattr(model, "grid"):
        first = (LABELS,) if conditional else ()
        for argument in ("side", "limit", "units", "spacing"):
            call = lambda v, a=argument: model.grid(*first, **{"side": 2, a: v})  # noqa: E731
            found[f"grid {argument}"] = (call, None)
    if gan:
        found["generate z"] = (lambda v: model.generate(v), z)
        found["discriminate x"] = (lambda v: model.discriminate(v), X)
        found["interpolate start"] = (lambda v: model.interpolate(v, z), z)
    if name == "denoising":
        found["corrupt x"] = (lambda v: model.corrupt(v), None)
        found["score_field x"] = (lambda v: model.score_field(v), X)
        found["score_field stddev"] = (lambda v: model.score_field(X, v), None)
        for argument in ("steps", "step_size"):
            call = lambda v, a=argument: model.project(X, **{a: v})  # noqa: E731
            found[f"project {argument}"] = (call, None)
        found["project x"] = (lambda v: model.project(v), X)
    if name == "predictive":
        found["infer x"] = (lambda v: model.infer(v, 3), X)
        found["infer steps"] = (lambda v: model.infer(X, v), None)
        found["infer start"] = (lambda v: model.infer(X, 3, start=v), z)
        found["objective code"] = (lambda v: model.objective(X, v), z)
    return found


def code_of(model, data):
    return model.encode(data).astype("float32")


def fit(model, *data, **arguments):
    """What one epoch makes of the same weights, with the same noise."""
    weights = model.get_weights()
    moments = [numpy(variable) for variable in model.optimizer.variables]
    keras.utils.set_random_seed(0)
    for state in random_states(model):
        state.assign([1, 0])
    history = model.fit(*data, batch_size=COUNT, shuffle=False, verbose=0, **arguments).history
    model.set_weights(weights)
    for variable, value in zip(model.optimizer.variables, moments, strict=bool(moments)):
        variable.assign(value)
    return history["loss"]


@pytest.mark.parametrize("name", MODELS)
def test_methods(name):
    keras.utils.set_random_seed(0)
    model = MODELS[name]()
    model.compile()
    x, *y = {"conditional": ({"x": X, "condition": LABELS},), "classifier": (X, LABELS)}.get(
        name, (X, LABELS) if name == "semi-supervised" else (X,)
    )
    model.fit(x, *y, verbose=0)
    wrong = []
    for label, (call, good) in calls(name, model).items():
        if good is not None:
            battery = arrays(good)
        elif label.split()[1] in ("y", "condition"):
            battery = {key: (v, None) for key, (v, n) in arrays(X[:, :2]).items() if n is None}
        elif label == "corrupt x":
            battery = {key: (v, None) for key, (v, n) in arrays(X).items() if n is None}
        else:
            battery = {repr(v): (v, None) for v in NUMBERS if not fine(label, v)}
        for kind, (value, numbers) in battery.items():
            if fine(label, value):
                continue
            found = verdict(call, value, numbers)
            if found:
                wrong.append(f"{label} = {kind}: {found}")
    assert not wrong, "\n".join(wrong)


def fine(label, value):
    """Whether an argument may have this value, with a meaning of its own."""
    _, argument = label.split()
    if value is None:
        return argument in ("batch_size", "seed", "sample_weight", "stddev") or (
            label in ("infer start", "infer steps")
        )
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return {
        "seed": value == 0,
        "step_size": value in (0, 1.5),
        "stddev": value == 1.5,
        "limit": value == 1.5,
    }.get(argument, False)


# Constructors.


def pair(**arguments):
    return dict(zip(("encoder", "decoder"), networks(**arguments), strict=True))


SIGMOID = {"code_activation": "sigmoid"}
CONSTRUCTORS = {  # with what they need
    kerasae.Autoencoder: pair,
    kerasae.DenoisingAutoencoder: lambda: {**pair(), "corruption": layers.GaussianNoise(0.1)},
    kerasae.SparseAutoencoder: lambda: {**pair(**SIGMOID), "penalty": MeanActivation(1e-3)},
    kerasae.ContractiveAutoencoder: lambda: {**pair(), "weight": 0.1},
    kerasae.StackedAutoencoder: lambda: {"input_shape": (SIZE,)},
    kerasae.VariationalAutoencoder: lambda: pair(posterior="diagonal"),
    kerasae.ConditionalVariationalAutoencoder: lambda: {
        **dict(
            zip(
                ("encoder", "decoder"),
                nets.conditional_mlp((SIZE,), (CLASSES,), CODE, (4,)),
                strict=True,
            )
        ),
        "classes": CLASSES,
    },
    kerasae.AdversarialAutoencoder: pair,
    kerasae.GAN.mlp: lambda: {"shape": (SIZE,)},
    kerasae.PredictiveSparseDecomposition: lambda: {"input_shape": (SIZE,), "code_size": CODE},
    kerasae.Classifier: lambda: {"encoder": networks()[0], "classes": CLASSES},
    nets.mlp: lambda: {"input_shape": (SIZE,), "code_size": CODE},
    nets.convolutional: lambda: {"input_shape": (8, 8, 1), "code_size": CODE, "filters": (2, 2)},
    nets.conditional_mlp: lambda: {
        "input_shape": (SIZE,),
        "condition_shape": (2,),
        "code_size": CODE,
    },
    nets.dcgan_generator: lambda: {"output_shape": (8, 8, 1), "filters": 2},
    nets.dcgan_discriminator: lambda: {"input_shape": (8, 8, 1), "filters": 2},
    priors.MixturePrior: lambda: {"means": 3},
    priors.MixturePrior.ring: dict,
    priors.SamplesPrior: lambda: {"points": X},
    callbacks.WholeSetMean: lambda: {"x": X},
    callbacks.WarmUp: lambda: {"epochs": 3},
    callbacks.Record: lambda: {"name": "number", "function": len},
    kerasae.layers.TopK: lambda: {"k": 1},
    kerasae.layers.TiedDense: lambda: {"source": keras.layers.Dense(2)},
    kerasae.GAN: lambda: dict(zip(("generator", "discriminator"), game(), strict=True)),
    kerasae.SemiSupervisedAdversarialAutoencoder: lambda: {
        **dict(zip(("encoder", "decoder"), semi_supervised_networks(), strict=True)),
        "classes": CLASSES,
    },
    priors.PseudoInputs: lambda: {"count": 3},
    likelihoods.Normal: dict,
    likelihoods.Laplace: dict,
    corruptions.MaskingNoise: lambda: {"fraction": 0.3},
    corruptions.SaltAndPepper: lambda: {"fraction": 0.3},
    corruptions.BlockMask: lambda: {"size": 2},
    corruptions.QuadrantMask: dict,
    penalties.MeanActivation: lambda: {"weight": 1e-3},
    penalties.Contractive: lambda: {"weight": 1e-3},
    probability.Normal: lambda: {"mean": [0.0, 1.0]},
    probability.FullNormal: lambda: {"mean": [0.0, 1.0], "factor": np.eye(2)},
    probability.Laplace: lambda: {"mean": [0.0, 1.0]},
    probability.Bernoulli: lambda: {"logits": [0.0, 1.0]},
    probability.Categorical: lambda: {"logits": [0.0, 1.0]},
}


@pytest.mark.parametrize("make", CONSTRUCTORS, ids=lambda make: make.__qualname__)
def test_constructors(make):
    given = CONSTRUCTORS[make]
    make(**given())
    function = make.__init__ if inspect.isclass(make) else make
    kinds = inspect.Parameter
    wrong = []
    for argument, parameter in inspect.signature(function).parameters.items():
        if argument in ("self", "name") or parameter.kind is kinds.VAR_KEYWORD:
            continue
        for value in values():
            _, error = outcome(lambda v, a=argument: make(**{**given(), a: v}), value)
            found = of_type(error, parameter, value)
            if found:
                wrong.append(f"{argument} = {value!r}: {found}")
    assert not wrong, "\n".join(wrong)
