import functools

import keras
import numpy as np
import pytest
from keras import ops

from kerasae.training.alternating import AlternatingModel
from kerasae.training.optimizer_group import OptimizerGroup

BACKEND = keras.backend.backend()


@pytest.fixture(autouse=True)
def fixed_seed_and_float32():
    keras.utils.set_random_seed(1)
    yield
    keras.config.set_dtype_policy("float32")


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


@keras.saving.register_keras_serializable("test")
class Pursuit(AlternatingModel):
    """A leader a chases the target and flees its chaser b, which runs after it.

    L_a = mean (x·a − y)² − 0.1 mean (x·a − x·b)²       L_b = mean (x·b − x·a)²
    """

    def __init__(self, turns=("leader", "chaser"), **kwargs):
        super().__init__(**kwargs)
        self.turns = turns
        self.leader = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
        self.chaser = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
        self.leader_loss = keras.metrics.Mean(name="leader_loss")
        self.chaser_loss = keras.metrics.Mean(name="chaser_loss")

    def player_variables(self):
        return {
            "leader": self.leader.trainable_variables,
            "chaser": self.chaser.trainable_variables,
        }

    def call(self, x):
        return self.leader(x)

    def losses_of(self, x, y):
        def mean_square(difference):
            return ops.mean(ops.square(ops.cast(difference, "float32")))

        def distance():
            return mean_square(self.chaser(x) - self.leader(x))

        def leader():
            return mean_square(ops.subtract(self.leader(x), y)) - 0.1 * distance()

        return {"leader": leader, "chaser": distance}

    def log(self, losses):
        self.leader_loss.update_state(losses["leader"])
        self.chaser_loss.update_state(losses["chaser"])
        return losses["leader"] + losses["chaser"]

    def play(self, x, y, sample_weight):
        losses = self.losses_of(x, y)
        if self.turns == "together":
            return self.log(self.minimize_together(losses))
        return self.log({turn: self.minimize(losses[turn], turn) for turn in self.turns})

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self.log({player: loss() for player, loss in self.losses_of(x, y).items()})

    def get_config(self):
        return {**super().get_config(), "turns": self.turns}


def pursuit_in_numpy(a, b, turns, data, rate):
    """The same descent written out, in float64."""

    def gradients(x, y):
        to_target, apart = x @ a - y, x @ a - x @ b
        return {
            "leader": 2 * x.T @ (to_target - 0.1 * apart) / len(x),
            "chaser": 2 * x.T @ -apart / len(x),
        }

    a, b = a.astype("float64"), b.astype("float64")
    for x, y in data:
        if turns == "together":
            step = gradients(x, y)
            a, b = a - rate * step["leader"], b - rate * step["chaser"]
            continue
        for turn in turns:
            step = rate * gradients(x, y)[turn]
            a, b = (a - step, b) if turn == "leader" else (a, b - step)
    return a, b


TURNS = [
    ("leader", "chaser"),
    ("chaser", "leader"),
    ("chaser", "chaser", "leader"),  # two steps of one player for each of the other
    "together",
]


@pytest.mark.parametrize("turns", TURNS, ids=str)
def test_parameters_follow_the_mathematics(turns):
    x, y = data(12)
    model = Pursuit(turns)
    start = weights(model)
    model.compile(keras.optimizers.SGD(0.1))
    model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    expected = pursuit_in_numpy(*start, turns, batches(x, y) * 2, 0.1)
    assert_same(weights(model), expected, rtol=1e-5, atol=1e-6)
    rounds = 6
    steps = {player: rounds * turns.count(player) for player in ("leader", "chaser")}
    if turns == "together":
        steps = dict.fromkeys(steps, rounds)
    assert {player: int(model.optimizer[player].iterations) for player in steps} == steps


def test_the_orders_of_play_differ():
    x, y = data()
    ends = [
        pursuit_in_numpy(np.ones((2, 1)), np.zeros((2, 1)), turns, batches(x, y), 0.1)
        for turns in TURNS
    ]
    for i in range(len(ends)):
        for j in range(i):
            assert max(np.abs(p - q).max() for p, q in zip(ends[i], ends[j], strict=True)) > 1e-3


@pytest.mark.parametrize("player", ["leader", "chaser"])
def test_only_the_players_own_variables_move(player):
    model = Pursuit(turns=(player,))
    model.log = lambda losses: losses[player]
    own = {id(variable) for variable in model.player_variables()[player]}
    before = weights(model)
    model.compile("adam")
    model.train_on_batch(*data())
    for variable, start in zip(model.trainable_variables, before, strict=True):
        assert (np.abs(variable.numpy() - start) > 1e-4).all() == (id(variable) in own)


def test_part_of_a_players_variables():
    class OneColumn(Pursuit):
        def player_variables(self):
            return {"both": self.trainable_variables}

        def play(self, x, y, sample_weight):
            loss = self.losses_of(x, y)["leader"]
            return self.minimize(loss, "both", self.chaser.trainable_variables)

    model = OneColumn()
    leader, chaser = weights(model)
    model.compile(keras.optimizers.SGD(0.1))
    model.train_on_batch(*data())
    assert_same(weights(model)[:1], [leader])
    assert (np.abs(weights(model)[1] - chaser) > 1e-4).all()


def test_a_variable_of_two_players_moves_with_both():
    class Shared(Pursuit):
        def player_variables(self):
            return {
                "leader": self.trainable_variables,
                "chaser": self.chaser.trainable_variables,
            }

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


MODES = {
    "eager": {"run_eagerly": True},
    "default": {},
    **({"xla": {"jit_compile": True}} if BACKEND == "tensorflow" else {}),
    # Keras has no several steps per execution on PyTorch.
    **({} if BACKEND == "torch" else {"two_steps": {"steps_per_execution": 2}}),
}


@keras.saving.register_keras_serializable("test")
class ToyGAN(AlternatingModel):
    """A GAN on points of the plane, with BatchNormalization, Dropout and noise of its own."""

    def __init__(self, dropout=0.5, noise=1.0, **kwargs):
        super().__init__(**kwargs)
        self.dropout, self.noise = dropout, noise
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
        self.seed = keras.random.SeedGenerator(5)
        self.real, self.fake, self.fool = (
            keras.metrics.Mean(name=name) for name in ("real", "fake", "fool")
        )

    def player_variables(self):
        return {
            "discriminator": self.discriminator.trainable_variables,
            "generator": self.generator.trainable_variables,
        }

    def call(self, x, training=False):
        return self.generator(x, training=training)

    def scores(self, x, training):
        z = self.noise * keras.random.normal(ops.shape(x), seed=self.seed)
        return self.discriminator(self.generator(z, training=training), training=training)

    def discriminator_loss(self, x, training=True):
        real = ops.mean(ops.softplus(-self.discriminator(x, training=training)))
        fake = ops.mean(ops.softplus(self.scores(x, training)))
        self.real.update_state(real)
        self.fake.update_state(fake)
        return ops.cast(real + fake, "float32")

    def generator_loss(self, x, training=True):
        fool = ops.mean(ops.softplus(-self.scores(x, training)))
        self.fool.update_state(fool)
        return ops.cast(fool, "float32")

    def play(self, x, y, sample_weight):
        d_loss = self.minimize(lambda: self.discriminator_loss(x), "discriminator")
        g_loss = self.minimize(lambda: self.generator_loss(x), "generator")
        return d_loss + g_loss

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self.discriminator_loss(x, training) + self.generator_loss(x, training)

    def get_config(self):
        return {**super().get_config(), "dropout": self.dropout, "noise": self.noise}


def everything(model):
    return [variable.numpy() for variable in model.variables + model.optimizer.variables]


@functools.cache
def run(mode):
    keras.utils.set_random_seed(2)
    model = ToyGAN(dropout=0.0, noise=0.0)
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
    assert model.seed.state.numpy().tolist() == [5, 12]


def test_noise_differs_between_the_steps_of_one_round():
    class Patient(ToyGAN):
        def play(self, x, y, sample_weight):
            turns = [self.minimize(lambda: self.generator_loss(x), "generator") for _ in range(3)]
            return ops.max(ops.stack(turns)) - ops.min(ops.stack(turns))

    model = Patient()
    model.compile(keras.optimizers.SGD(0.0))
    spread = model.fit(data()[0], batch_size=8, verbose=0).history["loss"][0]
    assert spread > 1e-3
    assert int(model.optimizer["generator"].iterations) == 3


@pytest.mark.parametrize(("toy", "policy"), [("ToyGAN", "float32"), ("Pursuit", "mixed_float16")])
def test_saved_in_the_middle_training_goes_on_exactly(tmp_path, toy, policy):
    keras.config.set_dtype_policy(policy)
    x, y = (values / 10 for values in data(16))  # no overflow of float16

    def fresh():
        keras.utils.set_random_seed(4)
        model = {"ToyGAN": ToyGAN, "Pursuit": Pursuit}[toy]()
        first, second = model.player_variables()
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
    # Keras does not save how far a SeedGenerator has come.
    for variable, value in zip(loaded.variables, middle, strict=False):
        if "seed_generator_state" in variable.path:
            variable.assign(value)
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
        def losses_of(self, x, y):
            losses = super().losses_of(x, y)
            return {**losses, "chaser": lambda: 1e38 * losses["chaser"]()}

    keras.config.set_dtype_policy("mixed_float16")
    model = Overflowing()
    leader, chaser = weights(model)
    model.compile("adam")
    x, y = data()
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
    assert history["leader_loss"][0] == pytest.approx(np.mean(leader), rel=1e-5)
    assert history["chaser_loss"][0] == pytest.approx(np.mean(chaser), rel=1e-5)
    sizes = [4, 4, 2]
    assert history["loss"][0] == pytest.approx(
        np.average(np.add(leader, chaser), weights=sizes), rel=1e-5
    )
    apart = [np.mean((x_i @ a - x_i @ b) ** 2) for x_i, _ in batches(x, y)]
    assert history["val_chaser_loss"][0] == pytest.approx(np.mean(apart), rel=1e-5)


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


def test_metrics_given_to_compile_see_the_prediction_after_the_round():
    x, y = data(4)
    model = Pursuit()
    model.compile(keras.optimizers.SGD(0.1), metrics=["mae"])
    logs = model.fit(x, y, validation_data=(x, y), verbose=0).history
    expected = np.abs(x @ weights(model)[0] - y).mean()
    assert logs["mae"][0] == pytest.approx(expected, rel=1e-5)
    assert logs["val_mae"][0] == pytest.approx(expected, rel=1e-5)


def test_combines_with_another_model_class(tmp_path):
    @keras.saving.register_keras_serializable("test")
    class Linear(keras.Model):
        def __init__(self, units=1, **kwargs):
            super().__init__(**kwargs)
            self.units = units
            self.map = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units)])
            self.squares = keras.metrics.Mean(name="squares")

        def call(self, x):
            return self.map(x)

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            loss = ops.mean(ops.square(y_pred - y))
            self.squares.update_state(loss)
            return loss

        def get_config(self):
            return {**super().get_config(), "units": self.units}

    @keras.saving.register_keras_serializable("test")
    class AdversarialLinear(AlternatingModel, Linear):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.critic = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])

        def player_variables(self):
            return {
                "map": self.map.trainable_variables,
                "critic": self.critic.trainable_variables,
            }

        def play(self, x, y, sample_weight):
            self.minimize(lambda: ops.mean(self.critic(y) - self.critic(self(x))), "critic")
            return self.minimize(
                lambda: self.compute_loss(x, y, self(x)) + ops.mean(self.critic(self(x))), "map"
            )

    x, y = data()
    model = AdversarialLinear(units=1)
    model.compile("adam")
    logs = model.fit(x, y, validation_data=(x, y), verbose=0).history
    assert set(logs) == {"loss", "squares", "val_loss", "val_squares"}
    assert logs["val_loss"] == pytest.approx(logs["val_squares"])
    assert_same([model.predict(x, verbose=0)], [model.map.predict(x, verbose=0)])
    model.save(tmp_path / "m.keras")
    assert_same(everything(keras.models.load_model(tmp_path / "m.keras")), everything(model))


def test_networks_may_be_built_by_the_first_batch():
    class Lazy(Pursuit):
        def __init__(self):
            super().__init__()
            self.leader, self.chaser = keras.layers.Dense(1), keras.layers.Dense(1)

        def call(self, x):
            return self.leader(x) + self.chaser(x)

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
    with pytest.raises(ValueError, match="player is 'runner': expected one of 'leader', 'chaser'"):
        model.minimize(lambda: ops.ones(()), "runner")
    with pytest.raises(ValueError, match="player is 'runner'"):
        model.minimize_together({"runner": lambda: ops.ones(())})


def test_what_a_model_lacks_is_named():
    class Empty(AlternatingModel):
        pass

    class NoPlay(Pursuit):
        play = AlternatingModel.play

    class NoLoss(Pursuit):
        compute_loss = AlternatingModel.compute_loss

    with pytest.raises(NotImplementedError, match="Empty does not define `player_variables`"):
        Empty().compile("adam")
    model = NoPlay()
    model.compile("adam")
    with pytest.raises(NotImplementedError, match="NoPlay does not define `play`"):
        model.fit(*data(), verbose=0)
    model = NoLoss()
    model.compile("adam")
    with pytest.raises(NotImplementedError, match="NoLoss has no loss to validate with"):
        model.evaluate(*data(), verbose=0)
    model = NoLoss()
    model.compile("adam", loss="mse")
    x, y = data()
    expected = np.mean((x @ weights(model)[0] - y) ** 2)
    assert model.evaluate(x, y, verbose=0) == pytest.approx([expected, 0, 0], rel=1e-5)


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
    found = model.evaluate(x, y, batch_size=4, verbose=0, return_dict=True)
    leader, chaser = x @ a - y, x @ b - x @ a
    expected = np.mean(leader**2) + 0.9 * np.mean(chaser**2)
    assert found["loss"] == pytest.approx(expected, rel=1e-5)
