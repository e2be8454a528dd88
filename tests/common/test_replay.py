"""Observations that name their own environment and time, so that every mistake shows; a naive list as the reference."""

import gymnasium as gym
import numpy as np
import pytest

from common.cli import UsageError
from common.replay import (
    FrameReplayBuffer,
    NSteps,
    PrioritizedFrameReplayBuffer,
    ReplayBuffer,
    SequenceReplayBuffer,
    SumTree,
)  # fmt: skip


def vector_buffer(capacity):
    return ReplayBuffer(capacity, gym.spaces.Box(-np.inf, np.inf, (2,), np.float32), gym.spaces.Discrete(4))


def add(buffer, *indices):
    i = np.array(indices, np.float32)
    buffer.add(np.stack([i, i], 1), i.astype(int) % 4, i, np.stack([i + 1, i + 1], 1), i % 2)


def joined(window, *steps):
    """Every step of one game is (obs, reward, terminated, playing) → [(obs, reward, next obs, terminated), …]."""
    found = []
    for obs, reward, terminated, playing in steps:
        row = (np.array([[obs]]), np.array([0]), np.array([reward]), np.array([[obs + 1]]))
        done = window.join(*row, np.array([terminated]), np.array([playing]))
        found += list(zip(done.obs[:, 0], done.reward, done.next_obs[:, 0], done.terminated, strict=True))
    return found


def test_three_steps_are_joined_by_hand():
    # Rewards 1, 2, 4, 8 with gamma 0.5: 1 + 2/2 + 4/4 = 3 and 2 + 4/2 + 8/4 = 6; then the game terminates, and what is
    # left is 4 + 8/2 = 8 and 8.
    steps = [(0, 1.0, False, True), (1, 2.0, False, True), (2, 4.0, False, True), (3, 8.0, True, True)]
    expected = [(0, 3, 3, False), (1, 6, 4, True), (2, 8, 4, True), (3, 8, 4, True)]
    assert joined(NSteps(3, 0.5, 1), *steps) == expected


def test_the_end_of_a_truncated_game_begins_nothing_and_nothing_joins_two_games():
    steps = [(0, 1.0, False, True), (1, 2.0, False, True), (2, 4.0, False, True)]  # truncated here
    reset = (3, 0.0, False, False)
    again = [(10, 1.0, False, True), (11, 2.0, True, True)]
    assert joined(NSteps(2, 0.5, 1), *steps, reset, *again) == [
        (0, 2, 2, False), (1, 4, 3, False), (10, 2, 12, True), (11, 2, 12, True)
    ]  # fmt: skip


def test_one_step_is_left_as_it_is():
    assert joined(NSteps(1, 0.5, 1), (0, 1.0, False, True), (1, 0.0, False, False), (7, 3.0, True, True)) == [
        (0, 1, 1, False), (7, 3, 8, True)
    ]  # fmt: skip


def test_steps_of_many_games_are_joined_as_a_naive_reference_joins_them():
    rng, window, n, gamma, games = np.random.default_rng(0), NSteps(4, 0.9, 5), 4, 0.9, 5
    open_steps, resetting = [[] for _ in range(games)], np.zeros(games, bool)
    for t in range(400):
        obs, action, reward = (
            np.full((games, 1), t) + 1000 * np.arange(games)[:, None],
            rng.integers(3, size=games),
            rng.normal(size=games),
        )
        terminated, truncated = (rng.random((2, games)) < 0.1) & ~resetting
        expected = []
        for i in range(games):
            if resetting[i]:
                continue
            open_steps[i].append((obs[i, 0], action[i], reward[i]))
            while open_steps[i] and (len(open_steps[i]) == n or terminated[i]):
                first, total = open_steps[i][0], sum(gamma**k * step[2] for k, step in enumerate(open_steps[i]))
                expected.append((first[0], first[1], round(total, 9), obs[i, 0] + 1, terminated[i]))
                open_steps[i].pop(0)
            if truncated[i]:
                open_steps[i].clear()
        done = window.join(obs, action, reward, obs + 1, terminated, ~resetting)
        rows = zip(done.obs[:, 0], done.action, done.reward.round(9), done.next_obs[:, 0], done.terminated, strict=True)
        assert sorted(rows) == sorted(expected), t
        resetting = terminated | truncated
        if t == 200:  # what is saved and loaded goes on as if nothing had happened
            saved, window = window.state(), NSteps(4, 0.9, 5)
            window.load(saved)


def test_steps_of_another_number_of_games_are_not_loaded():
    with pytest.raises(ValueError, match="steps of 5 games, here 4"):
        NSteps(3, 0.9, 4).load(NSteps(3, 0.9, 5).state())


def test_vector_buffer_keeps_rows_together():
    buffer = vector_buffer(8)
    add(buffer, 0, 1, 2)
    batch = buffer.sample(100, np.random.default_rng(0))
    assert set(batch.reward) == {0, 1, 2}
    np.testing.assert_array_equal(batch.obs[:, 0], batch.reward)
    np.testing.assert_array_equal(batch.next_obs[:, 1], batch.reward + 1)
    np.testing.assert_array_equal(batch.action, batch.reward.astype(int) % 4)
    np.testing.assert_array_equal(batch.terminated, batch.reward % 2)


def test_vector_buffer_wraps_around_within_one_add():
    buffer = vector_buffer(4)
    add(buffer, 0, 1, 2)
    add(buffer, 3, 4, 5)  # 4 and 5 overwrite 0 and 1
    assert len(buffer) == 4
    assert set(buffer.sample(200, np.random.default_rng(0)).reward) == {2, 3, 4, 5}


def test_vector_buffer_is_ready_and_flush():
    buffer = vector_buffer(4)
    assert not buffer.is_ready(1)
    with pytest.raises(ValueError, match="empty"):
        buffer.sample(1, np.random.default_rng(0))
    add(buffer, 0, 1)
    assert buffer.is_ready(2) and not buffer.is_ready(3)
    buffer.flush()
    assert len(buffer) == 0 and not buffer.is_ready(1)


def test_vector_buffer_samples_uniformly():
    buffer = vector_buffer(5)
    add(buffer, 0, 1, 2, 3, 4)
    counts = np.bincount(buffer.sample(50_000, np.random.default_rng(0)).reward.astype(int))
    assert abs(counts - 10_000).max() < 5 * np.sqrt(50_000 * 0.2 * 0.8)  # five standard deviations


def test_vector_buffer_continues_where_another_stopped():
    whole, first = vector_buffer(5), vector_buffer(5)
    for buffer in (whole, first):
        add(buffer, 0, 1, 2)
        add(buffer, 3, 4, 5)
    second = vector_buffer(5)
    second.load({name: array.copy() for name, array in first.state().items()})
    for buffer in (whole, second):
        add(buffer, 6)
    for x, y in zip(*(b.sample(50, np.random.default_rng(0)) for b in (whole, second)), strict=True):
        np.testing.assert_array_equal(x, y)
    with pytest.raises(ValueError, match="another shape"):
        vector_buffer(4).load(first.state())


def sequence_buffer(capacity, num_envs=1, burn_in=2, length=3):
    number = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    return SequenceReplayBuffer(capacity, num_envs, number, gym.spaces.Discrete(1000), 1, burn_in, length)


def test_a_sequence_by_hand():
    """A game of two steps, which terminates, and one of three so far: observations 0 1 2 | 3 4 5; 2 is the last one."""
    buffer = sequence_buffer(10)
    for i in range(6):
        buffer.add([[-i]], np.array([[i]]), [i], [i], [i == 1], np.array([i != 2]))
    batch = buffer.sample(500, np.random.default_rng(0))
    drawn = {}  # by the observation that was drawn, which stands after a burn-in of two
    for row in range(500):
        drawn[int(batch.obs[row, 2, 0])] = [np.array(part[row]) for part in batch]
    assert drawn.keys() == {0, 1, 2, 3, 4}  # what follows observation 5 is not known yet
    inside = {0: [0, 0, 1, 1, 1, 0], 1: [0, 1, 1, 1, 0, 0], 3: [0, 0, 1, 1, 1, 0], 4: [0, 1, 1, 1, 0, 0]}
    learned = {0: [1, 1, 0], 1: [1, 0, 0], 3: [1, 1, 0], 4: [1, 0, 0]}
    for i in (0, 1, 3, 4):
        state, obs, is_inside, action, reward, terminated, is_learned = drawn[i]
        assert state == (-obs[0, 0] if is_inside[0] else 0)
        np.testing.assert_array_equal(action[is_inside[:-1] == 1], np.arange(i - 2, i + 3)[is_inside[:-1] == 1])
        assert is_inside.tolist() == inside[i] and is_learned.tolist() == learned[i]
        shown = is_inside == 1
        np.testing.assert_array_equal(obs[shown, 0], np.arange(i - 2, i + 4)[shown])
        shown, steps = is_learned == 1, np.arange(i, i + 3)
        np.testing.assert_array_equal(reward[shown], steps[shown])
        np.testing.assert_array_equal(terminated[shown], steps[shown] == 1)
    assert not drawn[2][-1].any()  # after the last observation of a game there is nothing to learn


@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize(("burn_in", "length"), [(0, 1), (2, 3), (7, 1)])
@pytest.mark.parametrize("steps", [3, 20, 21, 131])  # not full, full, wrapped once and several times
def test_sequences_equal_a_naive_list(num_envs, burn_in, length, steps):
    rng, buffer = np.random.default_rng(steps), sequence_buffer(20 * num_envs, num_envs, burn_in, length)
    games = [[] for _ in range(num_envs)]  # of each environment: lists of the times of a game, its last observation too
    playing, begins = np.ones(num_envs, bool), np.ones(num_envs, bool)
    for t in range(steps):
        obs, ended = t * num_envs + np.arange(num_envs), rng.random(num_envs) < 0.2
        for env in range(num_envs):
            games[env] += [[t]] if begins[env] else []
            games[env][-1] += [] if begins[env] else [t]
        buffer.add(-obs[:, None], obs[:, None], obs, obs, obs % 2, playing)
        playing, begins = ~(playing & ended), ~playing
    assert len(buffer) == min(steps, 20) * num_envs

    oldest = max(steps - 20, 0)
    wanted = {}  # of each step that can be drawn: the times in the row, None outside of the game, and which are learned
    for env in range(num_envs):
        for game in games[env]:
            for t in game:
                row = [k if k in game and k >= oldest else None for k in range(t - burn_in, t + length + 1)]
                learned = [None not in row[j : j + 2] for j in range(burn_in, burn_in + length)]
                if t >= oldest + burn_in * (steps >= 20) and t < steps - 1:
                    wanted[t * num_envs + env] = [k if k is None else k * num_envs + env for k in row], learned
    batch = buffer.sample((2, 2000), rng)
    assert batch.obs.shape == (2, 2000, burn_in + length + 1, 1)
    batch = [np.reshape(part, (4000, *part.shape[2:])) for part in batch]
    state, obs, inside, action, reward, terminated, learned = batch
    assert set(obs[:, burn_in, 0]) == wanted.keys()
    for i in range(4000):
        row, to_learn = wanted[int(obs[i, burn_in, 0])]
        assert inside[i].tolist() == [k is not None for k in row] and learned[i].tolist() == to_learn
        assert state[i, 0] == (0 if row[0] is None else -row[0])
        assert all(k is None or obs[i, j, 0] == k for j, k in enumerate(row))
        assert all(k is None or action[i, j] == k for j, k in enumerate(row[:-1]))
        for j in np.flatnonzero(to_learn):
            assert reward[i, j] == row[burn_in + j] and terminated[i, j] == row[burn_in + j] % 2


def test_steps_of_sequences_are_drawn_uniformly():
    buffer = sequence_buffer(7)
    for i in range(12):
        buffer.add([[0]], np.array([[i]]), [i], [i], [0], np.array([True]))
    # The ring holds 5 to 11. 5 and 6 are the burn-in of 7; what follows 11 is not known.
    counts = np.bincount(buffer.sample(40_000, np.random.default_rng(0)).obs[:, 2, 0].astype(int), minlength=12)
    assert counts[:7].sum() == counts[11] == 0
    assert abs(counts[7:11] - 10_000).max() < 5 * np.sqrt(40_000 * 0.25 * 0.75)  # five standard deviations


def test_sequence_buffer_is_ready_and_continues_where_another_stopped():
    def fill(buffer, first, last):
        for i in range(first, last):
            buffer.add(
                [[2 * i], [3 * i]], np.array([[i], [-i]]), [i, i], [i, -i], [0, 0], np.array([i % 4 > 0, i % 5 > 0])
            )

    whole, first, second = (sequence_buffer(20, 2) for _ in range(3))
    with pytest.raises(ValueError, match="nothing to sample"):
        first.sample(1, np.random.default_rng(0))
    fill(first, 1, 2)
    assert not first.is_ready(2)
    fill(first, 2, 16)
    assert first.is_ready(20) and not first.is_ready(21)
    second.load({name: array.copy() for name, array in first.state().items()})
    fill(second, 16, 19)
    fill(whole, 1, 19)
    for x, y in zip(*(b.sample(50, np.random.default_rng(0)) for b in (whole, second)), strict=True):
        np.testing.assert_array_equal(x, y)
    with pytest.raises(ValueError, match="another shape"):
        sequence_buffer(18, 2).load(first.state())
    first.flush()
    assert len(first) == 0
    with pytest.raises(UsageError, match="10 steps is too small for 2 environments and sequences of 5 steps"):
        sequence_buffer(10, 2, burn_in=2, length=3)


class Games:
    """Two environments whose frames carry their number: game lengths, endings and lives follow a random script.

    Behaves like ALE's vector environment: zeros before the start, next-step autoreset, `terminated` at lost lives too.
    """

    def __init__(self, num_envs, stack, seed, hw=(2, 3)):
        self.rng, self.stack, self.hw, self.n = np.random.default_rng(seed), stack, hw, num_envs
        self.frame = 0
        self.obs = np.zeros((num_envs, stack, *hw), np.uint8)
        self.over = np.ones(num_envs, bool)
        self.begin(self.over)

    def begin(self, which):
        self.obs[which] = 0
        self.show(which)

    def show(self, which):
        for e in np.flatnonzero(which):
            self.obs[e, :-1] = self.obs[e, 1:].copy()
            self.frame = self.frame % 250 + 1  # never zero, which is padding
            self.obs[e, -1] = self.frame

    def step(self):
        before = self.obs.copy()
        resetting, self.over = self.over, np.zeros(self.n, bool)
        if not hasattr(self, "started"):
            self.started, resetting = True, np.zeros(self.n, bool)
        chance = self.rng.random(self.n)
        ended = ~resetting & (chance < 0.15)
        truncated = ended & (chance < 0.07)
        terminated = (ended & ~truncated) | (~resetting & ~ended & (chance > 0.9))  # above 0.9: a life is lost
        self.show(~resetting)
        self.begin(resetting)
        self.over = ended
        action, reward = self.rng.integers(0, 6, self.n), self.rng.integers(-2, 3, self.n).astype(float)
        return before, action, reward, terminated, ended, resetting, self.obs.copy()


def reference(history, env, t, n_step, gamma):
    """The n-step transition from time t of one environment, from the whole history; None where there is none."""
    if history[t][5][env]:
        return None
    total, discount = 0.0, 1.0
    for k in range(n_step):
        if t + k >= len(history):
            return None
        _, _, reward, terminated, ended, _, next_obs = history[t + k]
        total += discount * reward[env]
        discount *= gamma * (not terminated[env])
        if terminated[env] or ended[env]:
            break
    return history[t][0][env], history[t][1][env], total, discount, next_obs[env]


@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize("steps", [7, 40, 131])  # not full, about full, wrapped several times
def test_frame_buffer_equals_a_naive_list(num_envs, n_step, steps):
    gamma, length, stack = 0.9, 30, 4
    games = Games(num_envs, stack, seed=steps)
    buffer = FrameReplayBuffer(length * num_envs, num_envs, games.hw, stack, n_step, gamma)
    history = []
    for _ in range(steps):
        transition = games.step()
        history.append(transition)
        buffer.add(*transition[:5])
    assert len(buffer) == min(steps, length) * num_envs

    # Frames are unique within the ring (at most 90 of 250), so a batch row tells which transition it is.
    known = {}
    first = max(0, steps - length)
    for t in range(first, steps - n_step):  # the bootstrap n steps later must be stored, too
        for env in range(num_envs):
            row = reference(history, env, t, n_step, gamma)
            age = next(k for k in range(stack) if k == stack - 1 or not row or not row[0][-2 - k].any())
            if row is not None and t - age >= first:  # and so must the frames before
                known[int(row[0][-1, 0, 0])] = row
    batch = buffer.sample(4000, np.random.default_rng(1))
    drawn = set()
    for obs, action, reward, discount, next_obs in zip(*batch, strict=True):
        expected = known[int(obs[-1, 0, 0])]
        drawn.add(int(obs[-1, 0, 0]))
        np.testing.assert_array_equal(obs, expected[0])
        assert action == expected[1]
        assert reward == pytest.approx(expected[2])
        assert discount == pytest.approx(expected[3])
        if discount:  # after a termination nothing is bootstrapped, the observation does not matter
            np.testing.assert_array_equal(next_obs, expected[4])
    assert drawn == set(known)


def test_frame_buffer_by_hand():
    """One environment, stack 2, frames 1 2 3 (truncated, last frame 4), reset step, new game 5 6, on paper."""
    buffer = FrameReplayBuffer(8, 1, (1, 1), stack=2, n_step=2, gamma=0.5)
    for previous, newest, reward, terminated, ended in [
        (0, 1, 1.0, False, False),
        (1, 2, 2.0, False, False),
        (2, 3, 4.0, False, True),  # truncated
        (3, 4, 9.0, False, False),  # the reset step: its reward must never be seen
        (0, 5, 8.0, True, False),  # a lost life
        (5, 6, 16.0, False, False),
        (6, 7, 32.0, False, False),
    ]:
        obs = np.array([previous, newest], np.uint8).reshape(1, 2, 1, 1)
        buffer.add(obs, [0], [reward], np.array([terminated]), np.array([ended]))
    batch = buffer.sample(500, np.random.default_rng(0))
    rows = {(*o.ravel().tolist(), r, d, *n.ravel().tolist()) for o, _, r, d, n in zip(*batch, strict=True)}
    assert rows == {
        (0, 1, 2.0, 0.25, 2, 3),  # 1 + 0.5 * 2, then bootstrap from (2, 3)
        (1, 2, 4.0, 0.25, 3, 4),  # 2 + 0.5 * 4, bootstrap from the last frame of the truncated game
        (2, 3, 4.0, 0.5, 3, 4),  # cut after one step: the discount is gamma once
        (0, 5, 8.0, 0.0, 5, 6),  # terminated: no bootstrap
    }


def test_frame_buffer_state_round_trip():
    games = Games(2, 4, seed=0)
    buffer, copy = (FrameReplayBuffer(40, 2, games.hw) for _ in range(2))
    for _ in range(33):
        buffer.add(*games.step()[:5])
    copy.load(buffer.state())
    for row, twin in zip(
        buffer.sample(64, np.random.default_rng(3)), copy.sample(64, np.random.default_rng(3)), strict=True
    ):
        np.testing.assert_array_equal(row, twin)
    transition = games.step()[:5]  # and both go on alike
    buffer.add(*transition)
    copy.add(*transition)
    for name, array in buffer.state().items():
        np.testing.assert_array_equal(array, copy.state()[name])
    with pytest.raises(ValueError, match="another shape"):
        FrameReplayBuffer(20, 2, games.hw).load(buffer.state())
    with pytest.raises(ValueError, match="another shape"):
        FrameReplayBuffer(40, 1, games.hw).load(buffer.state())


def test_abandoned_games_never_mix_with_the_next_ones():
    buffer = FrameReplayBuffer(8, 1, (1, 1), stack=2, n_step=2, gamma=0.5)
    for previous, newest, reward in [(0, 1, 1.0), (1, 2, 2.0), (2, 3, 4.0), (0, 7, 8.0), (7, 8, 16.0), (8, 9, 0.0)]:
        if newest == 7:
            buffer.abandon_games()
        obs = np.array([previous, newest], np.uint8).reshape(1, 2, 1, 1)
        buffer.add(obs, [0], [reward], np.array([False]), np.array([False]))
    batch = buffer.sample(500, np.random.default_rng(0))
    rows = {(*o.ravel().tolist(), r, d, *n.ravel().tolist()) for o, _, r, d, n in zip(*batch, strict=True)}
    assert rows == {(0, 1, 2.0, 0.25, 2, 3), (1, 2, 2.0, 0.5, 2, 3), (0, 7, 16.0, 0.25, 8, 9)}


def test_frame_buffer_bytes_and_limits():
    buffer = FrameReplayBuffer(1000, 8)
    assert buffer.nbytes / 1000 == 84 * 84 + 4 + 4 + 1 + 1 + 1 + 1 + 1  # frame, action, reward, four flags, age
    with pytest.raises(ValueError, match="nothing to sample"):
        buffer.sample(1, np.random.default_rng(0))
    with pytest.raises(ValueError, match="too small"):
        FrameReplayBuffer(8, 8)
    assert not buffer.is_ready(1)
    step = (np.zeros((8, 4, 84, 84), np.uint8), np.zeros(8), np.zeros(8), np.zeros(8, bool), np.zeros(8, bool))
    buffer.add(*step)
    assert len(buffer) == 8 and not buffer.is_ready(8)  # no step has its next observation yet
    buffer.add(*step)
    assert buffer.is_ready(16) and not buffer.is_ready(17)
    assert buffer.sample(3, np.random.default_rng(0)).obs.shape == (3, 4, 84, 84)
    buffer.flush()
    assert len(buffer) == 0


def tree_of(*priorities):
    tree = SumTree(len(priorities))
    tree.set(np.arange(len(priorities)), priorities)
    return tree


def test_sum_tree_by_hand():
    # |error|^0.6 of 0.5, 1, 2, 4 = 0.65975, 1, 1.51572, 2.29740; prefix sums 0.65975, 1.65975, 3.17547, 5.47287.
    tree = tree_of(*np.array([0.5, 1, 2, 4]) ** 0.6)
    assert tree.total == pytest.approx(5.47287, abs=1e-5)
    np.testing.assert_allclose(tree.priorities / tree.total, [0.12055, 0.18272, 0.27695, 0.41978], atol=1e-5)
    np.testing.assert_array_equal(tree.find([0.0, 0.65, 0.66, 1.65, 1.66, 3.17, 3.2, 5.47]), [0, 0, 1, 1, 2, 2, 3, 3])
    assert tree.find(0.66) == 1 and tree.find([[0.66], [3.2]]).tolist() == [[1], [3]]


def test_a_prefix_on_the_border_belongs_to_the_next_row_and_rows_without_priority_are_never_found():
    tree = tree_of(0, 1, 0, 2, 0, 0)
    np.testing.assert_array_equal(tree.find([0, 0.5, 1, 2.9, 3, 99]), [1, 1, 3, 3, 3, 3])  # beyond the total: the last


@pytest.mark.parametrize("capacity", [1, 2, 5, 8, 37])
def test_sum_tree_equals_a_naive_list(capacity):
    rng = np.random.default_rng(capacity)
    tree, naive = SumTree(capacity), np.zeros(capacity)
    for _ in range(2000):  # 10,000 operations in all five
        rows = rng.integers(capacity, size=rng.integers(0, 6))
        priorities = rng.choice([0.0, 1e-9, 1.0, 1e6], len(rows)) * rng.random(len(rows))
        tree.set(rows, priorities)
        for row, priority in zip(rows, priorities, strict=True):
            naive[row] = priority
        np.testing.assert_array_equal(tree.priorities, naive)
        assert tree.total == pytest.approx(naive.sum(), rel=1e-12)
        if naive.sum() > 0:
            prefix = rng.random(4) * naive.sum()
            found, sums = tree.find(prefix), np.cumsum(naive)
            for x, row in zip(prefix, found, strict=True):
                close = np.isclose(sums, x, rtol=1e-12, atol=0)  # on a border rounding decides
                assert naive[row] > 0 and (row == np.searchsorted(sums, x, side="right") or close.any())


def test_sum_tree_does_not_drift():
    tree = SumTree(3)
    for priority in [1e15, 1e-3] * 100:
        tree.set([0], priority)
    tree.set([1], 1e-3)
    assert tree.total == 2e-3  # differences that are added up would have lost it


def test_of_a_row_that_is_named_twice_the_last_priority_counts():
    tree = SumTree(4)
    tree.set([2, 2, 1], [5.0, 7.0, 1.0])
    assert tree.priorities.tolist() == [0, 1, 7, 0] and tree.total == 8


def test_draws_in_proportion_to_priorities():
    tree, draws = tree_of(1, 0, 3, 6), 40_000
    for stratified, deviations in ((False, 5), (True, 1)):
        rows = tree.sample((draws // 8, 8), np.random.default_rng(0), stratified)
        assert rows.shape == (draws // 8, 8)
        counts = np.bincount(rows.ravel(), minlength=4)
        assert abs(counts - draws * np.array([0.1, 0, 0.3, 0.6])).max() < deviations * np.sqrt(draws * 0.25)
        assert counts[1] == 0
    # Eight strata of the whole: the first tenth can be reached by the first stratum alone, so at most once in eight.
    assert (rows == 0).sum(axis=1).max() == 1 and ((rows == 3).sum(axis=1) >= 4).all()


def test_sum_tree_refuses_what_it_cannot_hold():
    tree = tree_of(1, 2, 3)
    before = tree.nodes.copy()
    for rows, priorities in [
        ([3], 1), ([-1], 1), ([0, 2**40], 1), ([0], -1), ([0], np.nan), ([0], np.inf), ([0, 1], [1, -1e-9]),
        ([0, 1], [1, 2, 3]), ([0], [1, 2]),
    ]:  # fmt: skip
        with pytest.raises(ValueError):
            tree.set(rows, priorities)
    for state in (np.ones(4), np.ones((3, 1)), np.array([1, -1, 1])):
        with pytest.raises(ValueError):
            tree.load({"priorities": state})
    np.testing.assert_array_equal(tree.nodes, before)
    with np.errstate(over="ignore"):
        endless = tree_of(1e308, 1e308)
    for empty in (SumTree(3), endless):
        with pytest.raises(ValueError, match="nothing to sample"):
            empty.sample(1, np.random.default_rng(0))
    with pytest.raises(ValueError, match="empty"):
        SumTree(0)


def test_sum_tree_continues_where_another_stopped():
    rng = np.random.default_rng(0)
    tree, copy = SumTree(100), SumTree(100)
    for _ in range(50):
        tree.set(rng.integers(100, size=7), rng.random(7))
    state = tree.state()
    tree.set([0], 5)
    assert state["priorities"][0] != 5  # a copy
    copy.load(tree.state())
    np.testing.assert_array_equal(copy.nodes, tree.nodes)  # bit for bit, the sums too


def may_be_drawn(buffer):
    """Which transitions a frame buffer may draw, [length, num_envs]: told from its flags, slot by slot."""
    allowed = np.zeros(buffer.action.shape, bool)
    for position in range(buffer.size - buffer.n_step):
        slot = (buffer.position - buffer.size + position) % len(allowed)
        allowed[slot] = ~buffer.resetting[slot] & (buffer.age[slot] <= position)
    return allowed


@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("n_step", [1, 3])
def test_just_the_transitions_that_may_be_drawn_have_a_priority(num_envs, n_step):
    games = Games(num_envs, 4, seed=n_step)
    buffer = PrioritizedFrameReplayBuffer(16 * num_envs, num_envs, games.hw, 4, n_step, 0.9)
    rng, resets = np.random.default_rng(0), 0
    for t in range(90):  # the ring wraps five times
        if t in (5, 40):
            buffer.abandon_games()
        buffer.add(*games.step()[:5])
        np.testing.assert_array_equal(buffer.tree.priorities.reshape(-1, num_envs) > 0, may_be_drawn(buffer))
        assert buffer.is_ready(1) == may_be_drawn(buffer).any()
        if buffer.is_ready(1):
            batch, rows, probability = buffer.sample(8, rng)
            slots, envs = np.divmod(rows, num_envs)
            np.testing.assert_array_equal(batch.action, buffer.action[slots, envs])
            np.testing.assert_array_equal(batch.obs[:, -1], buffer.frames[slots, envs])
            np.testing.assert_allclose(probability, buffer.tree.priorities[rows] / buffer.tree.priorities.sum())
            buffer.set_priorities(rows, rng.random(8) + 0.01)
            resets += buffer.resetting.any()
    assert resets > 40  # there were steps to leave out


@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize("steps", [7, 40, 131])
def test_prioritized_frame_buffer_with_equal_priorities_draws_what_the_uniform_one_draws(n_step, steps):
    games, buffers = Games(3, 4, seed=steps), []
    for kind in (FrameReplayBuffer, PrioritizedFrameReplayBuffer):
        buffers.append(kind(90, 3, games.hw, 4, n_step, 0.9))
    for _ in range(steps):
        transition = games.step()[:5]
        for buffer in buffers:
            buffer.add(*transition)
    uniform = buffers[0].sample(4000, np.random.default_rng(1))
    prioritized, rows, probability = buffers[1].sample(4000, np.random.default_rng(1))
    drawn = [
        {tuple(np.concatenate([np.ravel(part) for part in row]).tolist()) for row in zip(*batch, strict=True)}
        for batch in (uniform, prioritized)
    ]
    assert drawn[0] == drawn[1]  # Games numbers its frames, so two transitions never look the same
    assert len(set(rows)) == len(drawn[1]) == round(1 / probability[0]) and np.ptp(probability) == 0


def steps_of_one_env(buffer, frames):
    for frame in frames:
        obs = np.array([max(frame - 1, 0), frame], np.uint8).reshape(1, 2, 1, 1)
        buffer.add(obs, [0], [frame], np.array([False]), np.array([False]))


def test_new_transitions_get_the_largest_priority_so_far_and_drawn_ones_their_own():
    buffer = PrioritizedFrameReplayBuffer(8, 1, (1, 1), stack=2, n_step=2, gamma=0.5)
    steps_of_one_env(buffer, [1, 2, 3])
    assert buffer.tree.priorities.tolist() == [1, 0, 0, 0, 0, 0, 0, 0]  # the others wait for their second step
    batch, rows, probability = buffer.sample(1, np.random.default_rng(0))
    assert batch.reward == [1 + 0.5 * 2] and rows == [0] and probability == [1]
    buffer.set_priorities(rows, [4.0])
    steps_of_one_env(buffer, [4])
    buffer.set_priorities(np.array([0]), np.array([0.5]))
    steps_of_one_env(buffer, [5])
    assert buffer.tree.priorities.tolist() == [0.5, 4, 4, 0, 0, 0, 0, 0]
    _, rows, probability = buffer.sample(1000, np.random.default_rng(0))
    assert {*zip(rows, probability, strict=True)} == {(0, 0.5 / 8.5), (1, 4 / 8.5), (2, 4 / 8.5)}
    # The ring is full with 8 and then overwrites 1: the stack of 2 is no longer whole, and 1 has no transition.
    steps_of_one_env(buffer, [6, 7, 8, 9])
    assert buffer.tree.priorities.tolist() == [0, 0, 4, 4, 4, 4, 4, 0]


def test_prioritized_frame_buffer_continues_where_another_stopped():
    games, rng = Games(2, 4, seed=0), np.random.default_rng(0)
    buffer, copy = (PrioritizedFrameReplayBuffer(40, 2, games.hw, n_step=3) for _ in range(2))
    for _ in range(33):
        buffer.add(*games.step()[:5])
        if buffer.is_ready(20):
            buffer.set_priorities(buffer.sample(5, rng)[1], 3 * rng.random(5))
    assert buffer.largest > 1
    copy.load({name: array.copy() for name, array in buffer.state().items()})
    for _ in range(25):
        transition = games.step()[:5]
        for one in (buffer, copy):
            one.add(*transition)
        (*batch, rows, p), (*twin, twin_rows, q) = (one.sample(6, np.random.default_rng(3)) for one in (buffer, copy))
        for x, y in zip([*batch[0], rows, p], [*twin[0], twin_rows, q], strict=True):
            np.testing.assert_array_equal(x, y)
    state = buffer.state()
    for wrong in ({"priorities": state["priorities"][1:]}, {"largest": np.array(np.nan)}, {"largest": np.array(0.0)}):
        with pytest.raises(ValueError):
            copy.load({**state, **wrong})
    buffer.flush()
    assert len(buffer) == 0 and buffer.tree.total == 0 and buffer.largest == 1 and not buffer.is_ready(1)
