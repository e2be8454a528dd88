"""The rules of the house that a program can check."""

import ast
import configparser
import difflib
import importlib.util
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from importlib import metadata
from pathlib import Path

import imageio_ffmpeg
import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parent.parent
ROOMS = ("recipes", "envs", "common")
RECIPES = sorted(path for path in (ROOT / "recipes").glob("*.py") if "\ndef train(" in path.read_text())
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def imported(path):
    """The top-level names of everything that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]


def function(path, name):
    return next(n for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef) and n.name == name)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_run_one_way(path):
    room = path.relative_to(ROOT).parts[0]
    allowed = {"recipes": {"common", "envs"}, "common": {"common"}, "envs": {"envs"}}[room]
    assert set(imported(path)) & set(ROOMS) <= allowed


@pytest.mark.parametrize("path", FILES, ids=str)
def test_nothing_loaded_can_run_code(path):
    assert not {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"} & set(imported(path))
    assert "allow_pickle=True" not in path.read_text() and "safe_mode=False" not in path.read_text()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_parameter_is_typed_documented_and_read(path):
    train = function(path, "train")
    assert [d.id for d in train.decorator_list] == ["validated"] and train.returns.id == "Path"
    parameters = train.args.args
    assert [p.arg for p in parameters[:5]] == ["env_id", "episodes", "seed", "logdir", "resume"]
    assert len(train.args.defaults) == len(parameters), "every parameter has a default"
    documented = re.findall(r"^    (?:    )?(\w+): ", ast.get_docstring(train).split("Args:")[1], re.MULTILINE)
    read = {node.id for node in ast.walk(train) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    through_the_run = {"logdir", "resume", "env_kwargs"}  # `Run(…, locals(), …)` takes them
    for parameter in parameters:
        assert parameter.annotation is not None, parameter.arg
        assert parameter.arg in documented, f"{parameter.arg} has no line under Args:"
        assert parameter.arg in read | through_the_run, f"{parameter.arg} is never read"
    assert documented == [p.arg for p in parameters], "Args: in the order of the signature"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_run_is_told_the_arguments_and_nothing_else(path):
    below = function(path, "train").body[1:]  # the docstring
    while isinstance(below[0], ast.If):  # checks, after which locals() still holds the arguments alone
        below = below[1:]
    assert ast.unparse(below[0]).startswith(f"run = Run('{path.stem}', locals()")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_each_numbered_step_stands_once_on_the_page_and_once_in_the_code(path):
    page = ast.get_docstring(ast.parse(path.read_text()))
    comments = [
        t.string for t in tokenize.generate_tokens(io.StringIO(path.read_text()).readline) if t.type == tokenize.COMMENT
    ]
    steps = re.findall(r"^ *\((\d)\)", page, re.MULTILINE)
    assert steps == [str(n + 1) for n in range(len(steps))] and len(steps) >= 2
    marked = sorted(re.findall(r"\((\d)\)", " ".join(comments)))
    assert marked == steps


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_plumbing_is_little_and_handles_nothing_that_a_run_does(path):
    text, train = path.read_text(), function(path, "train")
    lines, body = text.splitlines(), train.body[1:]  # below signature and docstring
    (loop, *_) = (node for node in ast.walk(train) if isinstance(node, ast.While))
    outside = [
        line
        for number, line in enumerate(lines[body[0].lineno - 1 : train.end_lineno], body[0].lineno)
        if line.strip() and not loop.lineno <= number <= loop.end_lineno
    ]
    assert len(outside) <= 30, f"{len(outside)} lines of train are outside its loop"
    named = re.findall(r"checkpoint|identity|restore|signal|isfinite", text)
    assert not named, "Run does that"


# A variant is a sibling file: how many lines of code may differ, docstrings, comments and the recipe's name aside.
SIBLINGS = {
    ("reinforce_cartpole", "reinforce_dropout_cartpole"): 20,
    ("actor_critic_cartpole", "actor_critic_two_networks"): 30,
    ("nfq_gridworld", "dqn_gridworld"): 30,
    ("dqn_atari", "rainbow_atari"): 130,
    ("q_learning_cliffwalking", "sarsa_cliffwalking"): 24,
    ("dqn_cartpole", "double_dqn_cartpole"): 8,
    ("dqn_cartpole", "dueling_dqn_cartpole"): 16,
    ("dqn_cartpole", "prioritized_dqn_cartpole"): 30,
    ("dqn_cartpole", "c51_cartpole"): 60,
    ("dqn_cartpole", "pqn_cartpole"): 110,
    ("c51_cartpole", "qr_dqn_cartpole"): 50,
    ("dqn_cartpole", "drqn_cartpole"): 87,
    ("actor_critic_cartpole", "a2c_cartpole"): 180,
    ("a2c_cartpole", "ppo_cartpole"): 140,
    ("ppo_cartpole", "ppo_pendulum"): 135,
    ("ppo_cartpole", "masked_ppo_gridworld"): 12,
    ("ppo_cartpole", "ppo_atari"): 143,
    ("compiled_actor_critic_cartpole", "compiled_ppo_cartpole"): 90,
    ("compiled_ppo_cartpole", "compiled_ppo_breakout"): 50,
    ("ddpg_pendulum", "td3_pendulum"): 56,
    ("td3_pendulum", "sac_pendulum"): 92,
}


def code_lines(name):
    """The lines of a recipe without docstrings, comments, empty lines and its own name."""
    text = (ROOT / "recipes" / f"{name}.py").read_text()
    dropped = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            dropped |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = [re.sub(r"(^|\s+)#.*", "", line) for line in text.splitlines()]
    return [line.replace(name, "<recipe>") for i, line in enumerate(lines, 1) if i not in dropped and line.strip()]


@pytest.mark.parametrize(("one", "other"), SIBLINGS, ids="{}".format)
def test_a_siblings_diff_is_its_idea(one, other):
    diff = list(difflib.unified_diff(code_lines(one), code_lines(other), one, other, n=0, lineterm=""))
    differing = [line for line in diff[2:] if line[0] in "+-"]
    print("\n".join(diff))  # pytest shows it with -rP, and wherever the test fails
    assert 0 < len(differing) <= SIBLINGS[one, other], f"{len(differing)} lines differ"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_ends_with_the_same_two_lines(path):
    assert path.read_text().endswith('\n\nif __name__ == "__main__":\n    fire.Fire(strict(train))\n')


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_importing_a_recipe_does_nothing_and_loads_no_tensorflow(path, tmp_path):
    code = f"import sys, recipes.{path.stem}; assert not {{'tensorflow', 'keras', 'matplotlib'}} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr, list(tmp_path.iterdir())) == (0, "", "", [])


def test_the_readme_names_only_what_exists():
    named = re.findall(
        r"(?<!\.net/)\b(?:recipes|benchmarks|common|envs|book|tests)/[\w/.-]+\.\w+", (ROOT / "README.md").read_text()
    )
    assert named
    for name in named:
        assert (ROOT / name).exists(), name


def test_the_readmes_program_runs(tmp_path):
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    code = "import sys; sys.modules.update(common=None, envs=None, recipes=None)\n" + program
    code += "assert action.shape == (1,) and 0 <= action[0] < 6\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def setup_cfg():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config


def requirements_of(text):
    """What one list of setup.cfg asks for."""
    return [Requirement(line) for line in text.splitlines() if line and not line.startswith("#")]


def test_uv_and_pip_install_the_same_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]  # without it `uv sync` installs nothing
    assert "dependencies" in project["dynamic"]
    installed = metadata.metadata(project["name"])
    assert SpecifierSet(installed["Requires-Python"]) == SpecifierSet(project["requires-python"])
    needed = {str(requirement) for requirement in requirements_of(setup_cfg()["options"]["install_requires"])}
    assert needed == {line for line in map(str, metadata.requires(project["name"])) if "extra ==" not in line}


def test_no_index_takes_the_project_because_its_top_level_names_are_taken():
    assert "Private :: Do Not Upload" in metadata.metadata("keras-rl-cookbook").get_all("Classifier")
    for page in ("README.md", "CONTRIBUTING.md"):
        assert "not published" in (ROOT / page).read_text()


# Where the module has another name.
MODULES = {"pytest-xdist": "xdist", "MinAtar": "minatar", "opencv-python-headless": "cv2"}
DIRECT = sorted(
    requirement.name
    for text in [setup_cfg()["options"]["install_requires"], *setup_cfg()["options.extras_require"].values()]
    for requirement in requirements_of(text)
)


def stated_licence(package):
    """The licence of an installed package in the words of its metadata."""
    about = metadata.metadata(package)
    named = about["License-Expression"] or about["License"] or ""
    if named and "\n" not in named:
        return named
    (classifier,) = (c for c in about.get_all("Classifier", []) if c.startswith("License ::"))
    return classifier.split(" :: ")[-1]


@pytest.mark.parametrize("package", DIRECT)
def test_the_licence_of_each_dependency_is_named_as_the_package_states_it(package):
    (row,) = re.findall(rf"^\| {package} \| (.*) \|$", (ROOT / "LICENSES.md").read_text(), re.MULTILINE)
    if importlib.util.find_spec(MODULES.get(package, package.replace("-", "_"))):  # some extras are not installed
        assert row == stated_licence(package)


def test_every_licence_with_copyleft_among_what_is_installed_is_named():
    """Of the packages that training needs, and of those that they need."""
    waiting, seen = ["keras-rl-cookbook"], set()
    while waiting:
        package = waiting.pop()
        if package in seen:
            continue
        seen.add(package)
        for requirement in map(Requirement, metadata.requires(package) or []):
            if requirement.marker is None or any(
                requirement.marker.evaluate({"extra": extra}) for extra in ("classic-control", "toy-text")
            ):
                waiting.append(requirement.name)
    about = {package: metadata.metadata(package) for package in seen}
    words = {package: " ".join([m.get("License-Expression", ""), m.get("License", "")]) for package, m in about.items()}
    copyleft = sorted(package for package in seen if re.search(r"GPL|MPL", words[package][:100]))
    assert {"ale-py", "pygame-ce", "certifi"} <= {*copyleft}  # so the walk went through
    assert [package for package in copyleft if package not in (ROOT / "LICENSES.md").read_text()] == []


def test_the_encoder_is_under_the_licence_that_is_named():
    said = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-L"], capture_output=True, text=True
    ).stdout
    assert "GNU General Public License" in said and "version 3" in said
    assert re.search(r"^\| FFmpeg.*GNU GPL, version 3 or later", (ROOT / "LICENSES.md").read_text(), re.MULTILINE)


def test_requirements_are_exact_and_within_the_ranges():
    config = setup_cfg()
    extras = config["options.extras_require"]
    ranges = requirements_of(config["options"]["install_requires"] + extras["test"] + extras["litert"])
    lines = [line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    *lines, last = [line for line in lines if line]
    assert last == "-e ."
    pinned = {}
    for requirement in map(Requirement, lines):
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        pinned.setdefault(requirement.name, []).append(pin.version)
    assert pinned.keys() == {r.name for r in ranges}
    for requirement in ranges:
        assert all(requirement.specifier.contains(version) for version in pinned[requirement.name]), requirement
