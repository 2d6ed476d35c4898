import zipfile

import h5py
import keras
import numpy as np
import pytest

from kerasae.engine.optimizer_group import OptimizerGroup


def network(units):
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(units)])


def rate(optimizer):
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))


def two_players(optimizers=("adam", "adam")):
    names = ("generator", "discriminator")
    variables = {
        name: network(units).trainable_variables for name, units in zip(names, (2, 1), strict=True)
    }
    return OptimizerGroup(dict(zip(names, optimizers, strict=True))), variables


def test_variables_are_those_of_the_members_in_order():
    group, variables = two_players()
    group.build(variables)
    first, second = group.optimizers
    assert [id(v) for v in group.variables] == [id(v) for v in first.variables + second.variables]
    # Adam holds a counter, a learning rate, and two moments for each variable.
    assert len(group.variables) == 2 * (2 + 2 * 2)
    assert group.player_variables("discriminator") == variables["discriminator"]


def test_a_member_is_reached_by_its_players_name():
    adam, sgd = keras.optimizers.Adam(), keras.optimizers.SGD()
    group = OptimizerGroup({"generator": adam, "discriminator": sgd})
    assert group["generator"] is adam and group["discriminator"] is sgd
    assert group.players == ("generator", "discriminator")
    assert adam.name == "generator"
    with pytest.raises(ValueError, match="player is 'critic': expected one of 'generator', 'discr"):
        group["critic"]


def test_one_optimizer_is_cloned_for_each_with_fresh_state():
    original = keras.optimizers.SGD(0.25, momentum=0.5, nesterov=True)
    original.build(network(1).trainable_variables)
    original.iterations.assign(7)
    group = OptimizerGroup.cloned(original, ("a", "b"))
    assert len({id(original), id(group["a"]), id(group["b"])}) == 3
    for clone in group.optimizers:
        assert rate(clone) == 0.25
        assert (clone.momentum, clone.nesterov) == (0.5, True)
        assert int(clone.iterations) == 0 and not clone.built
    paths = [variable.path for variable in group.variables]
    assert len(set(paths)) == len(paths)


def test_the_same_object_for_two_players_is_refused():
    adam = keras.optimizers.Adam()
    with pytest.raises(ValueError, match="one object among the players a, b"):
        OptimizerGroup({"a": adam, "b": adam})


def test_build_names_what_does_not_fit():
    group, variables = two_players()
    with pytest.raises(ValueError, match=r"a list: expected a mapping .* generator, discriminator"):
        group.build(variables["generator"])
    with pytest.raises(ValueError, match="names the players generator: expected generator, discr"):
        group.build({"generator": variables["generator"]})


def test_a_player_without_variables_has_no_state():
    group, variables = two_players()
    group.build({**variables, "generator": []})
    assert group.built and not group["generator"].built and group["discriminator"].built


def test_a_flat_list_is_divided_among_the_players_by_split():
    group, variables = two_players()
    group.split = lambda: variables
    group.build([variable for part in variables.values() for variable in part])
    assert group.player_variables("generator") == variables["generator"]


def test_learning_rate_reads_the_first_and_sets_all():
    group, _ = two_players((keras.optimizers.Adam(1e-3), keras.optimizers.SGD(1e-2)))
    assert rate(group) == np.float32(1e-3)
    group["discriminator"].learning_rate = 0.5
    assert (rate(group["generator"]), rate(group["discriminator"])) == (np.float32(1e-3), 0.5)
    group.learning_rate = 0.125
    assert [rate(member) for member in group.optimizers] == [0.125, 0.125]


def test_config_round_trip():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    group, _ = two_players((keras.optimizers.Adam(schedule, beta_1=0.5), keras.optimizers.SGD(2.0)))
    group.scale_losses()
    config = keras.saving.serialize_keras_object(group)
    # Read on another backend, the config may not name this one's own classes.
    for member in config["config"]["optimizers"].values():
        assert member["module"] == "keras.optimizers"
        assert member["config"]["inner_optimizer"]["module"] == "keras.optimizers"
    copy = keras.saving.deserialize_keras_object(config)
    assert copy.players == group.players
    assert copy.get_config() == group.get_config()
    inner = copy["generator"].inner_optimizer
    assert inner.beta_1 == 0.5
    inner.iterations.assign(10)
    assert rate(inner) == pytest.approx(0.05)


def test_losses_are_scaled_once():
    group, variables = two_players(
        (keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()), "adam")
    )
    given = group["generator"]
    group.scale_losses()
    group.build(variables)
    assert group["generator"] is given
    assert isinstance(group["discriminator"], keras.optimizers.LossScaleOptimizer)


def test_final_values_are_each_players_averages():
    averaging = keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5)
    group, variables = two_players((averaging, keras.optimizers.SGD(1.0)))
    group.build(variables)
    before = {name: [v.numpy() for v in part] for name, part in variables.items()}
    for _ in range(3):
        for name, part in variables.items():
            group[name].apply([keras.ops.ones(v.shape) for v in part], part)
    group.finalize_variable_values()
    # w_t = w_0 − t; a_1 = w_1, a_2 = (a_1 + w_2)/2, a_3 = (a_2 + w_3)/2 = w_0 − 2.25
    for name, distance in (("generator", 2.25), ("discriminator", 3.0)):
        for variable, start in zip(variables[name], before[name], strict=True):
            np.testing.assert_allclose(variable.numpy(), start - distance, rtol=1e-6)


def test_every_moment_is_saved_once(tmp_path):
    model = network(1)
    group = OptimizerGroup({"a": "adam", "b": "adam"})
    model.compile(group, loss="mse")
    group.build({"a": model.trainable_variables[:1], "b": model.trainable_variables})
    for index, variable in enumerate(group.variables):
        variable.assign(keras.ops.full(variable.shape, index + 1, dtype=variable.dtype))
    model.save(tmp_path / "m.keras")
    archive = tmp_path / "m.zip"
    (tmp_path / "m.keras").rename(archive)
    zipfile.ZipFile(archive).extract("model.weights.h5", tmp_path)
    saved = []
    with h5py.File(tmp_path / "model.weights.h5") as file:
        file["optimizer"].visititems(
            lambda _, item: saved.append(item[()]) if isinstance(item, h5py.Dataset) else None
        )
    assert sorted(float(np.max(value)) for value in saved) == list(
        range(1, 1 + len(group.variables))
    )
