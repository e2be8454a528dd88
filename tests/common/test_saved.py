"""What is loaded can neither run code nor pass for another."""

import json
import zipfile

import gymnasium as gym
import numpy as np
import pytest

from common.cli import UsageError
from common.lazy import keras
from common.saved import load_policy, read_settings

VECTOR, TWO = gym.spaces.Box(-1, 1, (4,), np.float32), gym.spaces.Discrete(2)


def small_model(actions=2, **heads):
    obs = keras.Input((4,))
    outputs = [keras.layers.Dense(actions)(obs), *(keras.layers.Dense(width)(obs) for width in heads.values())]
    return keras.Model(obs, outputs if heads else outputs[0])


def test_a_model_comes_back_and_of_several_outputs_the_first(tmp_path):
    obs = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    one, two = small_model(), small_model(value=1)
    one.save(tmp_path / "one.keras")
    two.save(tmp_path / "two.keras")
    np.testing.assert_allclose(load_policy(tmp_path / "one.keras", VECTOR, TWO)(obs), one(obs), rtol=1e-6)
    np.testing.assert_allclose(load_policy(tmp_path / "two.keras", VECTOR, TWO)(obs), two(obs)[0], rtol=1e-6)


def test_a_model_that_does_not_fit_is_refused_with_both_shapes(tmp_path):
    small_model().save(tmp_path / "model.keras")
    with pytest.raises(UsageError, match=r"maps \(4,\) to \(2,\); the environment needs \(6,\) to \(3,\)"):
        load_policy(tmp_path / "model.keras", gym.spaces.Box(-1, 1, (6,)), gym.spaces.Discrete(3))
    with pytest.raises(UsageError, match=r"the environment needs \(\) to \(2,\)"):
        load_policy(tmp_path / "model.keras", gym.spaces.Discrete(16), TWO)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"not a zip at all"])
def test_a_damaged_model_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "model.keras").write_bytes(content)
    with pytest.raises(UsageError, match="cannot be loaded") as refused:
        load_policy(tmp_path / "model.keras", VECTOR, TWO)
    assert "\n" not in str(refused.value)
    with pytest.raises(UsageError, match="there is no model"):
        load_policy(tmp_path / "other.keras", VECTOR, TWO)


def rewritten(source, target, changes):
    """Copy a zip file; `changes` maps the name of an entry to its new content, or to None where it is left out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = changes.get(name, old.read(name))
            if content is not None:
                new.writestr(name, content)


def test_a_file_that_holds_no_model_is_refused_in_one_line(tmp_path):
    small_model().save(tmp_path / "good.keras")
    (tmp_path / "folder.keras").mkdir()
    whole = (tmp_path / "good.keras").read_bytes()
    (tmp_path / "part.keras").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "flipped.keras").write_bytes(whole[: len(whole) // 2] + b"?" + whole[len(whole) // 2 + 1 :])
    (tmp_path / "good.h5").write_bytes(whole)
    for name, part in (("layer", keras.layers.Dense(2)), ("optimizer", keras.optimizers.Adam())):
        config = json.dumps(keras.saving.serialize_keras_object(part)).encode()
        rewritten(tmp_path / "good.keras", tmp_path / f"{name}.keras", {"config.json": config})
    for name, content in (("list", b"[]"), ("text", b"?"), ("none", None)):
        rewritten(tmp_path / "good.keras", tmp_path / f"{name}.keras", {"config.json": content})
    for name, content in (("no_weights", None), ("empty_weights", b"")):
        rewritten(tmp_path / "good.keras", tmp_path / f"{name}.keras", {"model.weights.h5": content})
    small_model(3).save(tmp_path / "wide.keras")
    with zipfile.ZipFile(tmp_path / "wide.keras") as wide:
        other = {"model.weights.h5": wide.read("model.weights.h5")}
    rewritten(tmp_path / "good.keras", tmp_path / "other_weights.keras", other)
    keras.Sequential([keras.layers.Dense(2)]).save(tmp_path / "unbuilt.keras")
    said = {
        "folder.keras": "not a whole .keras file", "part.keras": "not a whole .keras file", "good.h5": "not a whole",
        "flipped.keras": "cannot be loaded", "layer.keras": "a Dense|cannot be loaded", "optimizer.keras": "a Adam",
        "list.keras": "not a whole", "text.keras": "not a whole", "none.keras": "not a whole",
        "no_weights.keras": "cannot be loaded", "empty_weights.keras": "cannot be loaded",
        "other_weights.keras": "cannot be loaded: .*shape", "unbuilt.keras": "saved before it was built",
    }  # fmt: skip
    for name, why in said.items():
        with pytest.raises(UsageError, match=why) as refused:
            load_policy(tmp_path / name, VECTOR, TWO)
        assert name in str(refused.value) and "\n" not in str(refused.value) and len(str(refused.value)) < 500


class Doubled(keras.layers.Layer):
    """A layer of this file, which nobody else has."""

    def call(self, inputs):
        return 2 * inputs


def doubled(x):
    return 2 * x


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (lambda: keras.layers.Lambda(doubled, name="a"), r"layer a \(Lambda\) runs Python code"),
        (lambda: Doubled(name="b"), r"layer b \(Doubled\) is not part of Keras"),
        (
            lambda: keras.layers.Dense(4, doubled, name="c"),
            r"layer c \(Dense\) uses doubled, which is not part of Keras",
        ),
        (lambda: keras.layers.Dense(4, lambda x: x, name="d"), r"layer d \(Dense\): Could not interpret"),
        (lambda: keras.Sequential([keras.Input((4,)), Doubled(name="e")]), r"layer e \(Doubled\) is not part of Keras"),
    ],
)
@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
def test_the_layer_that_is_refused_is_named_with_the_reason(tmp_path, layer, why):
    obs = keras.Input((4,))
    keras.Model(obs, keras.layers.Dense(2)(layer()(obs))).save(tmp_path / "model.keras")
    with pytest.raises(UsageError, match=f"cannot be loaded: the {why}"):
        load_policy(tmp_path / "model.keras", VECTOR, TWO)


@pytest.mark.parametrize("kind", ["TorchModuleWrapper", "JaxLayer", "FlaxLayer", "TFSMLayer"])
def test_layers_that_bring_code_of_other_libraries_are_named(tmp_path, kind):
    small_model().save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as source:
        config = json.loads(source.read("config.json"))
    config["config"]["layers"][1].update(class_name=kind, config={"name": "x", "module": "AAAA"})
    rewritten(tmp_path / "model.keras", tmp_path / "evil.keras", {"config.json": json.dumps(config).encode()})
    with pytest.raises(UsageError, match=rf"the layer x \({kind}\) runs Python code"):
        load_policy(tmp_path / "evil.keras", VECTOR, TWO)


def called(layers):
    """A Sequential model without an Input, built by a call."""
    model = keras.Sequential(layers)
    model(np.zeros((1, 4), np.float32))
    return model


def functional(outputs, **obs):
    obs = keras.Input(**{"shape": (4,), **obs})
    return keras.Model(obs, outputs(obs))


dense = keras.layers.Dense
PLAYED = {
    "sequential": lambda: keras.Sequential([keras.Input((4,)), dense(3, "relu"), dense(2)]),
    "called": lambda: called([dense(3, "relu"), dense(2)]),
    "nested": lambda: called([keras.Sequential([dense(3, "relu")]), dense(2)]),
    "dict in": lambda: (lambda obs: keras.Model({"obs": obs}, dense(2)(obs)))(keras.Input((4,), name="obs")),
    "dict out": lambda: functional(lambda obs: {"logits": dense(2)(obs)}),
    "nested out": lambda: functional(lambda obs: [[dense(2)(obs), dense(3)(obs)], dense(1)(obs)]),
    "float64": lambda: functional(lambda obs: dense(2)(obs), dtype="float64"),
    "any size": lambda: functional(lambda obs: keras.ops.repeat(keras.ops.mean(obs, -1, True), 2, -1), shape=(None,)),
    "one at once": lambda: functional(lambda obs: dense(2)(obs), batch_size=1),
}


@pytest.mark.parametrize("kind", PLAYED)
def test_models_of_every_make_become_one_from_obs_to_outputs(tmp_path, kind, recwarn):
    made, obs = PLAYED[kind](), np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    made.save(tmp_path / "model.keras")
    wanted = made({"obs": obs} if kind == "dict in" else obs)
    while isinstance(wanted, list | dict):
        wanted = wanted["logits"] if isinstance(wanted, dict) else wanted[0]
    recwarn.clear()
    policy = load_policy(tmp_path / "model.keras", VECTOR, TWO)
    np.testing.assert_allclose(policy(obs), wanted, rtol=1e-5, atol=1e-6)
    assert policy.input_shape == (None, 4) and policy.output_shape == (None, 2)
    assert not [warning for warning in recwarn if "structure" in str(warning.message)]


def recurrent(change=lambda next_state: next_state, size=3, dtype="float32"):
    """[obs, state] → [numbers, next state], a running sum of features."""
    obs, state = keras.Input((4,)), keras.Input((size,), dtype=dtype)
    next_state = keras.layers.Add()([dense(3)(obs), keras.ops.cast(state, "float32")])
    return keras.Model([obs, state], [dense(2)(next_state), change(next_state)])


def test_a_recurrent_model_is_one_from_obs_and_state_to_numbers_and_the_next_state(tmp_path):
    made, rng = recurrent(), np.random.default_rng(0)
    made.save(tmp_path / "model.keras")
    policy = load_policy(tmp_path / "model.keras", VECTOR, TWO)
    inputs = [rng.normal(size=(5, size)).astype(np.float32) for size in (4, 3)]
    for given, wanted in zip(policy(inputs), made(inputs), strict=True):
        np.testing.assert_allclose(given, wanted, rtol=1e-5, atol=1e-6)
    assert policy.input_shape == [(None, 4), (None, 3)] and policy.output_shape == [(None, 2), (None, 3)]
    with pytest.raises(UsageError, match=r"maps \(4,\) to \(2,\); the environment needs \(3,\) to \(2,\)"):
        load_policy(tmp_path / "model.keras", gym.spaces.Box(-1, 1, (3,), np.float32), TWO)


@pytest.mark.parametrize(
    "made",
    [
        lambda: recurrent(lambda next_state: dense(5)(next_state)),  # another size than the state's
        lambda: recurrent(lambda next_state: keras.ops.cast(next_state, "int32"), dtype="int32"),
        lambda: (lambda model: keras.Model(model.inputs, model.outputs[0]))(recurrent()),  # and no next state
    ],
)
def test_a_second_input_that_is_no_state_is_refused(tmp_path, made):
    made().save(tmp_path / "model.keras")
    with pytest.raises(UsageError, match="takes 2 inputs; .* can only be a state that is the second output, too"):
        load_policy(tmp_path / "model.keras", VECTOR, TWO)


PAIR = gym.spaces.Box(np.array([0, -4], np.float32), np.array([1, 4], np.float32))  # vectors of actions


def test_a_model_of_vectors_gives_the_action_itself_and_of_several_outputs_the_first(tmp_path):
    obs = np.random.default_rng(0).normal(size=(3, 4))  # float64, as MuJoCo's; the model takes float32
    scaled = keras.layers.Rescaling([0.5, 4.0], [0.5, 0.0])
    made = functional(lambda obs: [scaled(dense(2, "tanh")(obs)), dense(2)(obs), dense(2)(obs)])
    made.save(tmp_path / "model.keras")
    wide = gym.spaces.Box(-np.inf, np.inf, (4,), np.float64)
    policy = load_policy(tmp_path / "model.keras", wide, PAIR)
    np.testing.assert_allclose(policy(obs), made(obs)[0], rtol=1e-6)
    assert policy.output_shape == (None, 2) and all(map(PAIR.contains, policy(obs).numpy()))
    float64 = gym.spaces.Box(0.0, 1.0, (2,), np.float64)
    np.testing.assert_allclose(load_policy(tmp_path / "model.keras", wide, float64)(obs), made(obs)[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda: small_model(3), r"maps \(4,\) to \(3,\); the environment needs \(4,\) to \(2,\)"),
        (lambda: small_model(1), r"maps \(4,\) to \(1,\); the environment needs \(4,\) to \(2,\)"),  # repeated else
        (lambda: functional(lambda obs: dense(2)(obs)[:, None]), r"to \(1, 2\); the environment needs"),
        (lambda: functional(dense(2), shape=(3,)), r"maps \(3,\) to \(2,\); the environment needs \(4,\)"),
        (lambda: functional(lambda obs: {"mean": dense(2)(obs), "action": dense(2)(obs)}), "which of its outputs"),
        (lambda: functional(lambda obs: keras.ops.log(-1 - keras.ops.abs(dense(2)(obs)))), "gives NaN"),
    ],
)
def test_a_model_that_gives_no_such_vector_is_refused(tmp_path, made, why):
    made().save(tmp_path / "model.keras")
    with pytest.raises(UsageError, match=why) as refused:
        load_policy(tmp_path / "model.keras", VECTOR, PAIR)
    assert "\n" not in str(refused.value)


REFUSED = {
    "takes 2 inputs": lambda: (lambda a, b: keras.Model([a, b], dense(2)(a + b)))(keras.Input((4,)), keras.Input((4,))),
    "which of its outputs a, b": lambda: functional(lambda obs: {"a": dense(2)(obs), "b": dense(2)(obs)}),
    "takes uint8, which cannot hold the environment's float32": lambda: functional(dense(2), dtype="uint8"),
    "takes int32, which cannot hold the environment's float32": lambda: functional(dense(2), dtype="int32"),
    r"to \(2, 1\); the environment needs": lambda: functional(lambda obs: dense(2)(obs)[..., None]),
    "fails when it is called": lambda: functional(lambda obs: dense(2)(keras.ops.reshape(obs, (7, 4)))),
    "gives NaN": lambda: functional(lambda obs: keras.ops.log(-1 - keras.ops.abs(dense(2)(obs)))),
    "weights that are NaN": lambda: functional(dense(2, bias_initializer=keras.initializers.Constant(np.nan))),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_model_that_cannot_act_here_is_refused(tmp_path, why):
    REFUSED[why]().save(tmp_path / "model.keras")
    with pytest.raises(UsageError, match=why) as refused:
        load_policy(tmp_path / "model.keras", VECTOR, TWO)
    assert "\n" not in str(refused.value) and "{{" not in str(refused.value)


def test_whole_numbers_fit_into_whole_and_into_broken_ones(tmp_path):
    for kind, fits in (("int32", True), ("float32", True), ("uint8", False)):
        functional(dense(2), shape=(4,), dtype=kind).save(tmp_path / "model.keras")
        space = gym.spaces.Box(-9, 9, (4,), np.int64)
        if fits:
            assert load_policy(tmp_path / "model.keras", space, TWO)(np.ones((3, 4), int)).shape == (3, 2)
        else:
            with pytest.raises(UsageError, match="takes uint8, which cannot hold the environment's int64"):
                load_policy(tmp_path / "model.keras", space, TWO)


def test_a_hostile_model_runs_nothing(tmp_path):
    """A Lambda layer carries Python bytecode: here one that would write a file when it is loaded or called."""
    loot = tmp_path / "loot"
    obs = keras.Input((4,))
    evil = keras.layers.Lambda(lambda x: (open("LOOT", "w").close(), x)[1], output_shape=(4,))
    keras.Model(obs, keras.layers.Dense(2)(evil(obs))).save(tmp_path / "good.keras")
    with zipfile.ZipFile(tmp_path / "good.keras") as source, zipfile.ZipFile(tmp_path / "evil.keras", "w") as hostile:
        for item in source.infolist():
            hostile.writestr(item, source.read(item).replace(b"LOOT", str(loot).encode()))
    (tmp_path / "LOOT").unlink(missing_ok=True)
    with pytest.raises(UsageError, match="cannot be loaded"):
        load_policy(tmp_path / "good.keras", VECTOR, TWO)
    with pytest.raises(UsageError, match="cannot be loaded"):
        load_policy(tmp_path / "evil.keras", VECTOR, TWO)
    assert not loot.exists() and not (tmp_path / "LOOT").exists()


def test_a_model_that_names_a_function_of_python_is_refused(tmp_path):
    """The configuration inside the file asks for os.system where a layer should stand."""
    small_model().save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as source:
        files = {item: source.read(item) for item in source.namelist()}
    config = json.loads(files["config.json"])
    config["config"]["layers"][1].update(module="os", class_name="system", registered_name=None)
    files["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(tmp_path / "evil.keras", "w") as hostile:
        for name, content in files.items():
            hostile.writestr(name, content)
    with pytest.raises(UsageError, match="cannot be loaded"):
        load_policy(tmp_path / "evil.keras", VECTOR, TWO)


def test_settings_of_a_run_and_of_a_card(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"arguments": {"env_id": "A-v0"}, "env_kwargs": {"x": 1}}))
    (tmp_path / "card.json").write_text(json.dumps({"env_id": "B-v0", "env_kwargs": {}, "score": 3}))
    assert read_settings(tmp_path / "config.json") == ("A-v0", {"x": 1})
    assert read_settings(tmp_path / "card.json") == ("B-v0", {})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"env_id": 3, "env_kwargs": {}}',
        '{"env_id": "A-v0"}',
        "\ufffd{",
        "[" * 9999,
        '{"arguments": [], "env_kwargs": {}}',
        '{"arguments": {"env_id": "A-v0"}}',
        '{"env_id": null, "env_kwargs": {}}',
    ],
)
def test_settings_that_say_nothing_are_refused(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UsageError, match="cannot be read"):
        read_settings(tmp_path / "config.json")
    with pytest.raises(UsageError, match="is missing"):
        read_settings(tmp_path / "none.json")
