"""Games: models of several players, each with networks, a loss and an optimizer of its own.

The toy games here are small enough to be written out in NumPy.
"""

import functools
import warnings

import keras
import numpy as np
import pytest
from keras import ops

from kerasae.engine.optimizer_group import OptimizerGroup
from kerasae.engine.step import Stepper
from kerasae.models.base import Model
from kerasae.models.batch import Batch
from kerasae.models.players import Outcome, Player

BACKEND = keras.backend.backend()
ON_PYTORCH = pytest.mark.skipif(BACKEND != "torch", reason="PyTorch alone has a fused step")


def data(count=8, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 2)).astype("float32")
    y = (x @ [[1.0], [-2.0]] + rng.normal(size=(count, 1))).astype("float32")
    return x, y


def batches(x, y, size=4):
    return [(x[i : i + size], y[i : i + size]) for i in range(0, len(x), size)]


def weights(model):
    return [variable.numpy() for variable in model.trainable_variables]


def assert_same(ones, others, **tolerance):
    for one, other in zip(ones, others, strict=True):
        np.testing.assert_allclose(one, other, **(tolerance or {"rtol": 0, "atol": 0}))


def line():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])


def squares(one, other):
    """Return the square of the difference for each example, in float32."""
    difference = ops.cast(one, "float32") - ops.cast(other, "float32")
    return ops.sum(ops.square(difference), axis=-1)


@keras.saving.register_keras_serializable("test")
class Pursuit(Model):
    """A leader a chases the target and flees its chaser b, which runs after it.

    L_a = (x·a − y)² − 0.1 (x·a − x·b)²       L_b = (x·b − x·a)²
    """

    parts = ("leader_loss", "chaser_loss")

    def __init__(self, order=("leader", "chaser"), **kwargs):
        super().__init__(**kwargs)
        self.order = order  # of play, or "together"
        self.leader, self.chaser = line(), line()

    def players(self):
        return {
            "leader": Player([self.leader], self.lead),
            "chaser": Player([self.chaser], self.chase),
        }

    def compute(self, x, training):
        return {"output": self.leader(x)}

    def lead(self, batch, training):
        output = self.leader(batch.x)
        loss = squares(output, batch.y) - 0.1 * squares(self.chaser(batch.x), output)
        return Outcome(loss, {"leader_loss": loss}, {}, output, batch.y)

    def chase(self, batch, training):
        loss = squares(self.chaser(batch.x), self.leader(batch.x))
        return Outcome(loss, {"chaser_loss": loss})

    def play(self, batch):
        if self.order == "together":
            return self.move(batch, "leader", "chaser")
        return [result for player in self.order for result in self.move(batch, player)]


def pursuit_in_numpy(a, b, order, data, rate):
    """The same descent written out, in float64."""

    def gradients(x, y):
        to_target, apart = x @ a - y, x @ a - x @ b
        return {
            "leader": 2 * x.T @ (to_target - 0.1 * apart) / len(x),
            "chaser": 2 * x.T @ -apart / len(x),
        }

    a, b = a.astype("float64"), b.astype("float64")
    for x, y in data:
        if order == "together":
            step = gradients(x, y)
            a, b = a - rate * step["leader"], b - rate * step["chaser"]
            continue
        for player in order:
            step = rate * gradients(x, y)[player]
            a, b = (a - step, b) if player == "leader" else (a, b - step)
    return a, b


ORDERS = [
    ("leader", "chaser"),
    ("chaser", "leader"),
    ("chaser", "chaser", "leader"),  # two steps of one player for each of the other
    "together",
]


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_parameters_follow_the_mathematics(order):
    x, y = data(12)
    model = Pursuit(order)
    start = weights(model)
    model.compile(keras.optimizers.SGD(0.1))
    model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    expected = pursuit_in_numpy(*start, order, batches(x, y) * 2, 0.1)
    assert_same(weights(model), expected, rtol=1e-5, atol=1e-6)
    rounds = 6
    steps = {player: rounds * order.count(player) for player in ("leader", "chaser")}
    if order == "together":
        steps = dict.fromkeys(steps, rounds)
    assert {player: int(model.optimizer[player].iterations) for player in steps} == steps


def test_the_orders_of_play_differ():
    x, y = data()
    ends = [
        pursuit_in_numpy(np.ones((2, 1)), np.zeros((2, 1)), order, batches(x, y), 0.1)
        for order in ORDERS
    ]
    for i in range(len(ends)):
        for j in range(i):
            assert max(np.abs(p - q).max() for p, q in zip(ends[i], ends[j], strict=True)) > 1e-3


@pytest.mark.parametrize("player", ["leader", "chaser"])
def test_only_the_players_own_variables_move(player):
    model = Pursuit(order=(player,))
    own = {id(variable) for variable in model.player_variables()[player]}
    before = weights(model)
    model.compile("adam")
    model.train_on_batch(*data())
    for variable, start in zip(model.trainable_variables, before, strict=True):
        assert (np.abs(variable.numpy() - start) > 1e-4).all() == (id(variable) in own)
        if BACKEND == "torch":
            assert variable.value.grad is None


def test_a_player_may_move_a_part_of_a_network():
    class LastLayer(Model):
        parts = ("squares",)

        def __init__(self):
            super().__init__()
            self.network = keras.Sequential(
                [keras.Input((2,)), keras.layers.Dense(2), keras.layers.Dense(1)]
            )

        def players(self):
            return {"last": Player([self.network.layers[-1]], self.turn)}

        def compute(self, x, training):
            return {"output": self.network(x)}

        def terms(self, x, y, found):
            return {"squares": squares(found["output"], y)}

    model = LastLayer()
    before = weights(model)
    model.compile(keras.optimizers.SGD(0.1))
    model.train_on_batch(*data())
    assert_same(weights(model)[:2], before[:2])
    for value, start in zip(weights(model)[2:], before[2:], strict=True):
        assert (np.abs(value - start) > 1e-4).all()


@pytest.mark.parametrize("frozen", ["leader", "chaser"])
def test_a_frozen_player_stays_where_it_is_and_the_other_moves(frozen):
    x, y = data()
    model = Pursuit()
    start = [network.get_weights()[0] for network in (model.leader, model.chaser)]
    getattr(model, frozen).trainable = False
    model.compile(keras.optimizers.SGD(0.1))
    logs = model.fit(x, y, batch_size=4, shuffle=False, verbose=0).history
    moving = "chaser" if frozen == "leader" else "leader"
    expected = pursuit_in_numpy(*start, (moving,), batches(x, y), 0.1)
    found = [network.get_weights()[0] for network in (model.leader, model.chaser)]
    assert_same(found, expected, rtol=1e-5, atol=1e-6)
    kept = 0 if frozen == "leader" else 1
    assert_same([found[kept]], [start[kept]])
    assert set(logs) == {"loss", "leader_loss", "chaser_loss"}  # it is still evaluated


def test_a_variable_of_two_players_moves_with_both():
    class Shared(Pursuit):
        def players(self):
            players = super().players()
            return {**players, "leader": Player([self.leader, self.chaser], self.lead)}

    x, y = data()
    rate, momentum = 0.1, 0.5
    model = Shared()
    a, b = (value.astype("float64") for value in weights(model))
    model.compile(keras.optimizers.SGD(rate, momentum=momentum))
    model.fit(x, y, batch_size=4, epochs=3, shuffle=False, verbose=0)
    # v_a and v_b are the leader's momenta, v the chaser's own for the same b.
    v_a, v_b, v = 0.0, 0.0, 0.0
    for x_i, y_i in batches(x, y) * 3:
        apart = x_i @ a - x_i @ b
        v_a = momentum * v_a - rate * 2 * x_i.T @ (x_i @ a - y_i - 0.1 * apart) / len(x_i)
        v_b = momentum * v_b - rate * 2 * x_i.T @ (0.1 * apart) / len(x_i)
        a, b = a + v_a, b + v_b
        v = momentum * v + rate * 2 * x_i.T @ (x_i @ a - x_i @ b) / len(x_i)
        b = b + v
    assert_same(weights(model), [a, b], rtol=1e-5, atol=1e-6)
    momenta = [
        m.numpy() for player in ("leader", "chaser") for m in model.optimizer[player].momentums
    ]
    assert_same(momenta, [v_a, v_b, v], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shared", ["the network", "its layer"])
def test_what_layers_add_counts_once_and_for_the_first_player_that_has_them(shared):
    weight, activity = 0.3, 0.5

    class Regularized(Pursuit):
        """Both players have the leader's network, which adds 0.3 ‖a‖² + 0.5 mean (x·a)²."""

        def __init__(self):
            super().__init__("together")
            self.leader = keras.Sequential(
                [
                    keras.Input((2,)),
                    keras.layers.Dense(
                        1,
                        use_bias=False,
                        kernel_regularizer=keras.regularizers.L2(weight),
                        activity_regularizer=keras.regularizers.L2(activity),
                    ),
                ]
            )

        def players(self):
            network = self.leader if shared == "the network" else self.leader.layers[-1]
            return {
                "leader": Player([self.leader], self.lead),
                "chaser": Player([network, self.chaser], self.chase),
            }

    x, y = data(6)
    model = Regularized()
    a, b = model.leader.get_weights()[0], model.chaser.get_weights()[0]

    def losses(x, y):
        leader = np.mean((x @ a - y) ** 2) - 0.1 * np.mean((x @ a - x @ b) ** 2)
        return leader, np.mean((x @ a - x @ b) ** 2)

    probe = keras.layers.ActivityRegularization(l2=1.0)
    probe(np.ones((2, 1), "float32"))
    divided = float(probe.losses[0]) == 1  # by the batch's size; the oldest Keras adds up

    def share(x):
        return activity / (len(x) if divided else 1)

    def added(x):
        return weight * np.sum(a**2) + share(x) * np.sum((x @ a) ** 2)

    model.compile(keras.optimizers.SGD(0.1))
    found = model.evaluate(x, y, batch_size=4, verbose=0, return_dict=True)
    whole = losses(x, y)
    assert found["leader_loss"] == pytest.approx(whole[0], rel=1e-5)
    assert found["chaser_loss"] == pytest.approx(whole[1], rel=1e-5)
    expected = sum(whole) + np.average([added(x[:4]), added(x[4:])], weights=[4, 2])
    assert found["loss"] == pytest.approx(expected, rel=1e-5)

    logs = model.fit(x, y, batch_size=6, verbose=0).history
    assert logs["loss"][0] == pytest.approx(sum(whole) + added(x), rel=1e-5)
    apart = x @ a - x @ b
    to_a = 2 * x.T @ (x @ a - y - 0.1 * apart) / len(x)
    to_a = to_a + 2 * weight * a + 2 * share(x) * x.T @ (x @ a)
    to_a = to_a + 2 * x.T @ apart / len(x)  # the chaser's own step, which adds nothing
    to_b = -2 * x.T @ apart / len(x)
    found = [model.leader.get_weights()[0], model.chaser.get_weights()[0]]
    assert_same(found, [a - 0.1 * to_a, b - 0.1 * to_b], rtol=1e-5, atol=1e-6)


MODES = {
    "eager": {"run_eagerly": True},
    "default": {},
    **({"xla": {"jit_compile": True}} if BACKEND == "tensorflow" else {}),
    # Keras has no several steps per execution on PyTorch.
    **({} if BACKEND == "torch" else {"two_steps": {"steps_per_execution": 2}}),
}


@keras.saving.register_keras_serializable("test")
class ToyGAN(Model):
    """A GAN on points of the plane, with BatchNormalization, Dropout and noise of its own."""

    parts = ("real", "fake", "fool")

    def __init__(self, dropout=0.5, spread=1.0, **kwargs):
        super().__init__(**kwargs)
        self.spread = spread  # of z
        layers = keras.layers
        self.generator = keras.Sequential([keras.Input((2,)), layers.Dense(2)])
        self.discriminator = keras.Sequential(
            [
                keras.Input((2,)),
                layers.BatchNormalization(momentum=0.9),
                layers.Dropout(dropout, seed=3),
                layers.Dense(1),
            ]
        )
        self.seed_generator = keras.random.SeedGenerator(5)

    def players(self):
        return {
            "discriminator": Player([self.discriminator], self.discriminate),
            "generator": Player([self.generator], self.generate),
        }

    def compute(self, z, training):
        return {"output": self.generator(z, training=training)}

    def discriminate(self, batch, training):
        real = ops.softplus(-self.score(batch.x, training))
        fake = ops.softplus(self.fake_score(batch, training))
        return Outcome(real + fake, {"real": real, "fake": fake})

    def generate(self, batch, training):
        fool = ops.softplus(-self.fake_score(batch, training))
        return Outcome(fool, {"fool": fool})

    def fake_score(self, batch, training):
        shape, source = (batch.size, 2), self.noise(training)
        z = keras.random.normal(shape, seed=source) if training else source.normal(shape)
        return self.score(self.generator(self.spread * z, training=training), training)

    def score(self, x, training):
        return ops.cast(self.discriminator(x, training=training)[:, 0], "float32")


def everything(model):
    return [variable.numpy() for variable in model.variables + model.optimizer.variables]


@functools.cache
def run(mode):
    keras.utils.set_random_seed(2)
    model = ToyGAN(dropout=0.0, spread=0.0)
    model.compile(
        {"generator": "sgd", "discriminator": keras.optimizers.SGD(0.1, momentum=0.9)},
        **MODES[mode],
    )
    history = model.fit(data(16)[0], batch_size=4, shuffle=False, verbose=0).history
    return [*everything(model), *history.values()]


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "eager"])
def test_every_way_of_running_gives_the_same(mode):
    assert_same(run(mode), run("eager"), rtol=2e-5, atol=2e-6)


def test_moving_statistics_are_updated_in_every_pass():
    x, _ = data(8)
    model = ToyGAN(dropout=0.0)
    model.compile(keras.optimizers.SGD(0.0))
    # The generator cannot move and gives 0 to the discriminator, whose passes are
    # real, fake (its own turn), fake (the generator's turn).
    model.generator.layers[-1].kernel.assign(np.zeros((2, 2)))
    model.fit(x, batch_size=4, shuffle=False, verbose=0)
    mean, variance = np.zeros(2), np.ones(2)
    for x_i, _ in batches(x, x):
        for values in (x_i, 0 * x_i, 0 * x_i):
            mean = 0.9 * mean + 0.1 * values.mean(0)
            variance = 0.9 * variance + 0.1 * values.var(0)
    normalization = model.discriminator.layers[0]
    assert_same(
        [normalization.moving_mean.numpy(), normalization.moving_variance.numpy()],
        [mean, variance],
        rtol=1e-5,
        atol=1e-6,
    )


def test_the_same_seed_gives_the_same_run():
    x, _ = data(12)
    runs = []
    for _ in range(2):
        keras.utils.set_random_seed(7)
        model = ToyGAN()
        model.compile(keras.optimizers.SGD(0.1, momentum=0.5))
        model.fit(x, batch_size=4, epochs=2, verbose=0)
        runs.append(everything(model))
    assert_same(*runs)
    # Two draws of noise in each of six rounds.
    assert model.seed_generator.state.numpy().tolist() == [5, 12]


def test_noise_differs_between_the_steps_of_one_round():
    class Patient(ToyGAN):
        def play(self, batch):
            moves = [self.move(batch, "generator")[0] for _ in range(3)]
            losses = ops.stack([result.whole for result in moves])
            return [moves[0]._replace(whole=ops.max(losses) - ops.min(losses))]

    model = Patient()
    model.compile(keras.optimizers.SGD(0.0))
    spread = model.fit(data()[0], batch_size=8, verbose=0).history["loss"][0]
    assert spread > 1e-3
    assert int(model.optimizer["generator"].iterations) == 3


@pytest.mark.parametrize(("toy", "policy"), [("ToyGAN", "float32"), ("Pursuit", "mixed_float16")])
def test_saved_in_the_middle_training_continues_exactly(tmp_path, toy, policy):
    keras.config.set_dtype_policy(policy)
    x, y = (values / 10 for values in data(16))  # no overflow of float16

    def fresh():
        keras.utils.set_random_seed(4)
        model = {"ToyGAN": ToyGAN, "Pursuit": Pursuit}[toy]()
        first, second = model.players()
        model.compile({second: keras.optimizers.Adam(3e-3), first: "rmsprop"})
        return model

    def epoch(model):
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0)

    whole = fresh()
    epoch(whole)
    middle = everything(whole)
    whole.save(tmp_path / "m.keras")
    epoch(whole)

    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert loaded.optimizer.players == whole.optimizer.players
    assert_same(everything(loaded), middle)
    adam = loaded.optimizer.optimizers[0]
    adam = getattr(adam, "inner_optimizer", adam)
    assert int(adam.iterations) == 4
    assert all(np.abs(moment.numpy()).max() > 0 for moment in adam._velocities)
    epoch(loaded)
    assert_same(everything(loaded), everything(whole))
    assert int(loaded.optimizer.iterations) == 8


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains(policy):
    keras.config.set_dtype_policy(policy)
    model = ToyGAN()
    before = weights(model)
    model.compile("sgd")
    model.fit(data(16)[0], batch_size=4, verbose=0)
    scaled = [
        isinstance(o, keras.optimizers.LossScaleOptimizer) for o in model.optimizer.optimizers
    ]
    assert scaled == [policy == "mixed_float16"] * 2
    for variable, start in zip(model.trainable_variables, before, strict=True):
        assert variable.dtype == "float32" and np.isfinite(variable.numpy()).all()
        assert np.abs(variable.numpy() - start).max() > 0


def test_overflow_skips_the_step_of_that_player_only():
    class Overflowing(Pursuit):
        def chase(self, batch, training):
            outcome = super().chase(batch, training)
            return outcome._replace(loss=1e38 * outcome.loss)

    keras.config.set_dtype_policy("mixed_float16")
    model = Overflowing()
    leader, chaser = weights(model)
    model.compile("adam")
    x, y = data()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The loss is")  # it may be infinite
        model.fit(x / 10, y / 10, batch_size=4, verbose=0)
    moved, kept = weights(model)
    assert np.abs(moved - leader).min() > 1e-4
    assert_same([kept], [chaser])
    scale = {
        name: float(model.optimizer[name].dynamic_scale.numpy()) for name in ("leader", "chaser")
    }
    assert scale == {"leader": 2.0**15, "chaser": 2.0**13}
    steps = {name: int(model.optimizer[name].iterations) for name in ("leader", "chaser")}
    assert steps == {"leader": 2, "chaser": 0}


def test_loss_scale_leaves_the_arithmetic_alone():
    x, y = data()
    ends = []
    for optimizer in (
        keras.optimizers.SGD(0.1),
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)),
        keras.optimizers.SGD(0.1, loss_scale_factor=256.0),
    ):
        keras.utils.set_random_seed(3)
        model = Pursuit("together")
        model.compile(optimizer)
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
        ends.append(weights(model))
    assert_same(ends[0], ends[1], rtol=1e-6)
    assert_same(ends[0], ends[2], rtol=1e-6)


def test_logs_are_epoch_averages_under_the_same_names_in_validation():
    x, y = data(10)
    model = Pursuit()
    start = weights(model)
    model.compile(keras.optimizers.SGD(0.1))
    stop = keras.callbacks.EarlyStopping("val_leader_loss", mode="max", patience=0, baseline=1e9)
    history = model.fit(
        x,
        y,
        batch_size=4,
        epochs=9,
        shuffle=False,
        validation_data=(x, y),
        callbacks=[stop],
        verbose=0,
    ).history
    names = {"loss", "leader_loss", "chaser_loss"}
    assert set(history) == names | {f"val_{name}" for name in names}
    assert len(history["loss"]) == 2  # stopped: the baseline is out of reach
    # The losses that each turn saw, computed step by step.
    a, b = start
    leader, chaser = [], []
    for x_i, y_i in batches(x, y):
        leader.append(np.mean((x_i @ a - y_i) ** 2) - 0.1 * np.mean((x_i @ a - x_i @ b) ** 2))
        a, _ = pursuit_in_numpy(a, b, ("leader",), [(x_i, y_i)], 0.1)
        chaser.append(np.mean((x_i @ a - x_i @ b) ** 2))
        _, b = pursuit_in_numpy(a, b, ("chaser",), [(x_i, y_i)], 0.1)
    expected = {
        "leader_loss": leader,
        "chaser_loss": chaser,
        "loss": np.add(leader, chaser),
    }
    for name, values in expected.items():  # a short last batch counts for less
        assert history[name][0] == pytest.approx(np.average(values, weights=[4, 4, 2]), rel=1e-5)
    apart = np.mean((x @ a - x @ b) ** 2)
    assert history["val_chaser_loss"][0] == pytest.approx(apart, rel=1e-5)


def test_learning_rates_follow_a_schedule():
    model = Pursuit()
    model.compile(keras.optimizers.SGD(1.0))
    rates = []
    model.fit(
        *data(),
        epochs=3,
        verbose=0,
        callbacks=[
            keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2),
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: rates.append(
                    [
                        float(ops.convert_to_numpy(o.learning_rate))
                        for o in model.optimizer.optimizers
                    ]
                )
            ),
        ],
    )
    assert rates == [[0.5, 0.5], [0.25, 0.25], [0.125, 0.125]]


def test_averages_become_the_weights_when_training_ends():
    x, y = data()
    model = Pursuit("together")
    start = weights(model)
    averaging = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5)
    model.compile({"leader": averaging, "chaser": keras.optimizers.SGD(0.1)})
    model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    (a_1, _), (a_2, b_2) = (
        pursuit_in_numpy(*start, "together", batches(x, y)[:n], 0.1) for n in (1, 2)
    )
    assert_same(weights(model), [(a_1 + a_2) / 2, b_2], rtol=1e-5, atol=1e-6)


def test_gradients_accumulate():
    x, y = data()
    model = Pursuit("together")
    start = weights(model)
    model.compile(keras.optimizers.SGD(0.1, gradient_accumulation_steps=2))
    model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    # The mean of the two batches' gradients is the gradient of both.
    expected = pursuit_in_numpy(*start, "together", [(x, y)], 0.1)
    assert_same(weights(model), expected, rtol=1e-5, atol=1e-6)


def test_metrics_given_to_compile_see_what_the_first_player_found():
    x, y = data(4)
    model = Pursuit()
    (before, _) = weights(model)
    model.compile(keras.optimizers.SGD(0.1), metrics=["mae"])
    logs = model.fit(x, y, validation_data=(x, y), verbose=0).history
    for name, kernel in (("mae", before), ("val_mae", weights(model)[0])):
        assert logs[name][0] == pytest.approx(np.abs(x @ kernel - y).mean(), rel=1e-5)


@keras.saving.register_keras_serializable("test")
class Linear(Model):
    parts = ("squares",)

    def __init__(self, units=1, **kwargs):
        super().__init__(**kwargs)
        self.map = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units)])

    def compute(self, x, training):
        return {"output": self.map(x)}

    def terms(self, x, y, found):
        return {"squares": squares(found["output"], y)}


@keras.saving.register_keras_serializable("test")
class AdversarialLinear(Linear):
    parts = ("squares", "fool", "critic_loss")

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.critic = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])

    def players(self):
        return {
            "critic": Player([self.critic], self.criticize),
            "map": Player([self.map], self.turn),
        }

    def terms(self, x, y, found):
        return {**super().terms(x, y, found), "fool": self.critic(found["output"])[:, 0]}

    def criticize(self, batch, training):
        loss = (self.critic(batch.y) - self.critic(self.map(batch.x)))[:, 0]
        return Outcome(loss, {"critic_loss": loss})


def test_a_game_on_top_of_a_model_of_one_player(tmp_path):
    x, y = data()
    model = AdversarialLinear(units=1)
    model.compile("adam")
    logs = model.fit(x, y, validation_data=(x, y), verbose=0).history
    names = {"loss", "squares", "fool", "critic_loss"}
    assert set(logs) == names | {f"val_{name}" for name in names}
    parts = [logs[f"val_{name}"][0] for name in model.parts]
    assert logs["val_loss"][0] == pytest.approx(sum(parts), rel=1e-5)
    assert logs["val_squares"][0] == pytest.approx(
        np.mean((model.map.predict(x, verbose=0) - y) ** 2), rel=1e-5
    )
    assert_same([model.predict(x, verbose=0)], [model.map.predict(x, verbose=0)])
    model.save(tmp_path / "m.keras")
    assert_same(everything(keras.models.load_model(tmp_path / "m.keras")), everything(model))


def test_networks_may_be_built_by_the_first_batch():
    class Lazy(Pursuit):
        def __init__(self):
            super().__init__()
            self.leader, self.chaser = keras.layers.Dense(1), keras.layers.Dense(1)

        def compute(self, x, training):
            return {"output": self.leader(x) + self.chaser(x)}

    model = Lazy()
    model.compile("adam")
    model.fit(*data(), verbose=0)
    assert [len(model.optimizer.player_variables(p)) for p in ("leader", "chaser")] == [2, 2]
    assert int(model.optimizer["chaser"].iterations) == 1


def test_a_wrong_player_is_named():
    model = Pursuit()
    with pytest.raises(ValueError, match="the players leader, chasr: expected leader, chaser"):
        model.compile({"leader": "adam", "chasr": "adam"})
    with pytest.raises(ValueError, match="the players leader: expected leader, chaser"):
        model.compile({"leader": "adam"})
    model.compile("adam")
    for players in (["runner"], ["runner", "leader"]):
        with pytest.raises(ValueError, match="player is 'runner': expected one of 'leader', 'cha"):
            model.move(Batch(*data(), None), *players)


def test_what_a_model_lacks_is_named():
    class Empty(Model):
        pass

    class NoTerms(Model):
        def compute(self, x, training):
            return {"output": x}

    class NoStep(Stepper):
        pass

    for empty, method in ((Empty, "compute"), (NoTerms, "terms")):
        model = empty()
        model.compile("adam", run_eagerly=True)
        message = f"{empty.__name__} does not define `{method}`"
        for use in (model.fit, model.evaluate):
            with pytest.raises(NotImplementedError, match=message):
                use(*data(), verbose=0)
    for method in ("learn", "judge"):
        with pytest.raises(NotImplementedError, match=f"NoStep does not define `{method}`"):
            getattr(NoStep(), method)(*data(), None)
    with pytest.raises(ValueError, match="`loss` is 'mse', expected none: the constructor's arg"):
        Pursuit().compile("adam", loss="mse")


def test_a_group_is_used_as_it_is():
    group = OptimizerGroup({"chaser": "adam", "leader": "sgd"})
    model = Pursuit()
    model.compile(group)
    assert model.optimizer is group
    model.fit(*data(), verbose=0)
    assert int(group["leader"].iterations) == 1


def test_a_short_last_batch_counts_for_less_in_validation():
    x, y = data(10)
    model = Pursuit()
    a, b = weights(model)
    model.compile("sgd")
    chaser = (x @ b - x @ a) ** 2
    leader = (x @ a - y) ** 2 - 0.1 * chaser
    for weight in (None, np.linspace(0, 2, 10, dtype="float32")):  # of the examples
        found = model.evaluate(
            x, y, batch_size=4, sample_weight=weight, verbose=0, return_dict=True
        )
        for name, each in {
            "leader_loss": leader,
            "chaser_loss": chaser,
            "loss": leader + chaser,
        }.items():
            expected = np.mean(each[:, 0] * (1 if weight is None else weight))
            assert found[name] == pytest.approx(expected, rel=1e-5)


# The fused step on PyTorch.


def some_variables():
    """Return a kernel, a bias and a constrained kernel, the same each time."""
    rng = np.random.default_rng(0)
    return [
        keras.Variable(rng.normal(size=(3, 4)).astype("float32")),
        keras.Variable(np.zeros(4, "float32")),
        constrained(rng.normal(size=(4, 2)).astype("float32")),
    ]


def constrained(value):
    variable = keras.Variable(value)
    variable.constraint = keras.constraints.MaxNorm(1.0)
    return variable


def gradients_of_step(step, variables):
    rng = np.random.default_rng(10 + step)
    return [ops.convert_to_tensor(rng.normal(size=v.shape).astype("float32")) for v in variables]


def falling_rate():
    return keras.optimizers.schedules.ExponentialDecay(0.05, decay_steps=2, decay_rate=0.5)


PLAIN = {
    "Adam": lambda: keras.optimizers.Adam(0.05, beta_1=0.5),
    "Adam, large epsilon": lambda: keras.optimizers.Adam(0.05, beta_2=0.9, epsilon=0.1),
    "Adam, falling rate": lambda: keras.optimizers.Adam(falling_rate()),
    "Adam, decay": lambda: keras.optimizers.Adam(0.05, weight_decay=0.1),
    "AdamW": lambda: keras.optimizers.AdamW(0.05, weight_decay=0.1),
    "AdamW, falling rate": lambda: keras.optimizers.AdamW(falling_rate(), weight_decay=0.1),
}


def take_five_steps(optimizer, variables, apply):
    """Take them with gradients that differ; return weights, moments, iterations and rate."""
    optimizer.build(variables)
    for step in range(5):
        apply(optimizer, gradients_of_step(step, variables), variables)
    assert int(optimizer.iterations) == 5
    return [variable.numpy() for variable in [*variables, *optimizer.variables]]


def fused_step(optimizer, gradients, variables):
    from kerasae.engine import fused

    assert fused.apply(optimizer, gradients, variables)


def keras_step(optimizer, gradients, variables):
    optimizer.apply(gradients, variables)


@ON_PYTORCH
@pytest.mark.home("torch")
@pytest.mark.parametrize("name", PLAIN)
def test_the_fused_step_is_that_of_keras(name):
    found, expected = (
        take_five_steps(PLAIN[name](), some_variables(), step) for step in (fused_step, keras_step)
    )
    # Keras takes 1 − β₂ᵗ in float32, PyTorch in float64: a first step differs by 3e-5 of its size.
    assert_same(found, expected, rtol=1e-5, atol=3e-6)
    assert np.linalg.norm(found[2], axis=0).max() <= 1 + 1e-6  # the constraint


@ON_PYTORCH
@pytest.mark.home("torch")
def test_a_variable_without_weight_decay_has_none():
    from kerasae.engine import fused

    runs = []
    for step in (lambda *a: fused.apply(*a) or keras_step(*a), keras_step):
        optimizer, variables = keras.optimizers.AdamW(0.05, weight_decay=0.1), some_variables()
        optimizer.exclude_from_weight_decay([variables[0]])
        runs.append(take_five_steps(optimizer, variables, step))
    assert_same(*runs, rtol=1e-5, atol=3e-6)


UNUSUAL = {
    "clipnorm": lambda: keras.optimizers.Adam(0.05, clipnorm=1.0),
    "clipvalue": lambda: keras.optimizers.Adam(0.05, clipvalue=0.5),
    "global_clipnorm": lambda: keras.optimizers.AdamW(0.05, global_clipnorm=1.0),
    "moving average": lambda: keras.optimizers.Adam(0.05, use_ema=True),
    "amsgrad": lambda: keras.optimizers.Adam(0.05, amsgrad=True),
    "accumulation": lambda: keras.optimizers.Adam(0.05, gradient_accumulation_steps=2),
    "loss scale": lambda: keras.optimizers.Adam(0.05, loss_scale_factor=2.0),
    "dynamic loss scale": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()),
    "another optimizer": lambda: keras.optimizers.Nadam(0.05),
    "a subclass": lambda: type("Own", (type(keras.optimizers.Adam()),), {})(0.05),
}


@ON_PYTORCH
@pytest.mark.home("torch")
@pytest.mark.parametrize("name", UNUSUAL)
def test_an_optimizer_with_extras_takes_its_own_step(name):
    from kerasae.engine import fused

    optimizer, variables = UNUSUAL[name](), some_variables()
    optimizer.build(variables)
    before = [variable.numpy() for variable in [*variables, *optimizer.variables]]
    assert not fused.apply(optimizer, gradients_of_step(0, variables), variables)
    assert_same([v.numpy() for v in [*variables, *optimizer.variables]], before)


@ON_PYTORCH
@pytest.mark.home("torch")
def test_what_the_fused_step_does_not_know_is_left_to_keras():
    from kerasae.engine import fused

    optimizer, variables = keras.optimizers.Adam(), some_variables()
    optimizer.build(variables)
    gradients = gradients_of_step(0, variables)
    assert not fused.apply(optimizer, [None, *gradients[1:]], variables)
    halves = [keras.Variable(variable.numpy(), dtype="bfloat16") for variable in variables]
    optimizer = keras.optimizers.Adam()
    optimizer.build(halves)
    assert not fused.apply(optimizer, [ops.cast(g, "bfloat16") for g in gradients], halves)
    assert not fused.apply(keras.optimizers.Adam(), gradients, variables)  # has no moments yet


@ON_PYTORCH
@pytest.mark.home("torch")
def test_a_game_takes_the_fused_steps(monkeypatch):
    from kerasae.engine import fused

    x, y = data(20)
    apply, taken, ends = fused.apply, [], []

    def counted(*arguments):
        taken.append(apply(*arguments))
        return taken[-1]

    for function in (counted, lambda *arguments: False):
        monkeypatch.setattr(fused, "apply", function)
        keras.utils.set_random_seed(3)
        model = Pursuit()
        model.compile({"leader": "adam", "chaser": keras.optimizers.AdamW(0.05)})
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
        ends.append(everything(model))
    assert taken == [True] * 10
    assert_same(*ends, rtol=1e-5, atol=3e-6)
